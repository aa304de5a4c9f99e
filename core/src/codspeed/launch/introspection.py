"""`node` and `go` of a measured command: small wrappers first in PATH.

They start the real program the way CodSpeed's integrations for Node and Go need it; what they do is
told in `wrappers/`. Only a program that is there is wrapped: a project without Node must not seem
to have one. Each run part has its own folder, which is removed at its end.

Deliberate differences from the reference: it rewrites two folders that all users share, needs jq,
and refuses every `go` outside of walltime.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

WRAPPED: Final = ("node", "go")
# Of a fixed length after it: what is in the environment moves the counters of simulation.
_PREFIX: Final = "codspeed-wrappers-"


@contextlib.contextmanager
def introspected(environment: Mapping[str, str], *, temp: Path) -> Iterator[dict[str, str]]:
    """Yield `environment` with wrappers first in its PATH, if there is anything to wrap.

    Args:
        environment: The whole environment of the command.
        temp: Where the folder of the wrappers is made.
    """
    path = environment.get("PATH", os.defpath)
    names = [name for name in WRAPPED if shutil.which(name, path=path)]
    if not names or os.name != "posix" or os.pathsep in str(temp):  # such a folder can't be in PATH
        yield dict(environment)
        return
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=temp))
    try:
        for name in names:
            _write(folder / name)
        yield {**environment, "PATH": f"{folder}{os.pathsep}{path}"}
    finally:
        shutil.rmtree(folder, ignore_errors=True)  # a benchmark may have made it unremovable


def _write(wrapper: Path) -> None:
    source = resources.files("codspeed.launch") / "wrappers" / f"{wrapper.name}.sh"
    wrapper.write_bytes(source.read_bytes())
    wrapper.chmod(0o700)
