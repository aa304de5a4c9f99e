"""C sources: the shim, the drainer and the helper. Compiled on first use; no Python here."""
