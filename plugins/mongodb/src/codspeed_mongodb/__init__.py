"""The MongoDB instrument."""
