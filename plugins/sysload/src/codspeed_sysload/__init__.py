"""An instrument that tells how disturbed the machine was."""
