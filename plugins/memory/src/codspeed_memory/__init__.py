"""Memory mode: every allocation and free of a command and its children."""
