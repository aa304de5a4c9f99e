"""A plugin-based benchmark runner.

Importing this package imports nothing else: `codspeed --version` and every measured start-up
depend on it.
"""

__version__ = "0.1.0"
