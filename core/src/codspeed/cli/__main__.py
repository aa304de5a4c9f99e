"""`python -m codspeed.cli`: the same as the console script `codspeed`."""

from __future__ import annotations

import sys

from codspeed.cli import main

if __name__ == "__main__":
    sys.exit(main())
