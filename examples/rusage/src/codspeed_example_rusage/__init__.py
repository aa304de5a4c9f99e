"""An executor plugin in three small files: `descriptor`, `executor` and `wrapper`."""
