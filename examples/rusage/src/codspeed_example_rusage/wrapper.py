"""Runs one target, and appends what the kernel counted for it to a file.

python -m codspeed_example_rusage.wrapper FILE URI -- COMMAND...
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

RSS_UNIT = 1 if sys.platform == "darwin" else 1024  # getrusage(2) of each system


def main(argv: list[str]) -> int:
    """Run the command in `argv`; return its status, or end by the signal that ended it."""
    file, uri, _dashes, *command = argv
    try:
        pid = os.posix_spawnp(command[0], command, os.environ)
    except OSError as error:
        sys.stderr.write(f"{command[0]}: {error.strerror}\n")
        return 127
    _, wait_status, usage = os.wait4(pid, 0)
    status = os.waitstatus_to_exitcode(wait_status)
    if status < 0:
        os.kill(os.getpid(), -status)
    if status == 0:
        record = {
            "uri": uri,
            "user_ns": round(usage.ru_utime * 1e9),
            "system_ns": round(usage.ru_stime * 1e9),
            "max_rss_bytes": usage.ru_maxrss * RSS_UNIT,
            "floor_bytes": _own_max_rss_bytes(),
        }
        with Path(file).open("a", encoding="utf-8") as records:
            records.write(json.dumps(record) + "\n")
    return status


def _own_max_rss_bytes() -> int:
    import resource  # noqa: PLC0415 - absent on Windows

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * RSS_UNIT


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
