"""Files that only the user may read. Imports nothing heavy: every run asks the shell session."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def write_private(path: Path, text: str) -> None:
    """Replace a file in one step by one with mode 0600.

    Raises:
        OSError: If it can't be written; then the old file is untouched.
    """
    # mkstemp makes the file 0600 before the first byte is in it.
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
