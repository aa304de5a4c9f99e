"""Read binaries: symbols, maps, folded stacks; compile small C sources."""
