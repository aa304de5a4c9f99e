"""C sources of the library that marks exec targets, and how it is built."""
