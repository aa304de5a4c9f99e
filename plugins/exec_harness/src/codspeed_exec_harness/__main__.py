"""`python -m codspeed_exec_harness`: how core starts the harness."""

import sys

from codspeed_exec_harness.cli import main

if __name__ == "__main__":
    sys.exit(main())
