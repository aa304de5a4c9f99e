"""What we need to know of the running kernel, kept in the user's cache under its build id.

To look it up takes a fifth of a second, since all type information has to be walked through.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import Final

import attrs

from codspeed.errors import ToolError
from codspeed_memory.ebpf.btf import KERNEL, Btf, BtfError
from codspeed_memory.ebpf.handlers import SessionCalls
from codspeed_memory.ebpf.syscalls import ProbesRefusedError
from codspeed_memory.ebpf.tracing import Fields
from codspeed_native.cache import cache_folder

_NOTES: Final = Path("/sys/kernel/notes")  # the build id is among them
_FIELDS: Final = {
    "task_pid": ("task_struct", "pid"),
    "task_tgid": ("task_struct", "tgid"),
    "task_thread_pid": ("task_struct", "thread_pid"),
    "pid_level": ("pid", "level"),
    "pid_numbers": ("pid", "numbers"),
    "number_namespace": ("upid", "ns"),
    "namespace_inode": ("pid_namespace", "ns", "inum"),
    "task_mm": ("task_struct", "mm"),
    "task_files": ("task_struct", "files"),
    "task_signal": ("task_struct", "signal"),
    "signal_live": ("signal_struct", "live"),
    "mm_exe_file": ("mm_struct", "exe_file"),
    "files_table": ("files_struct", "fdt"),
    "table_files": ("fdtable", "fd"),
    "file_inode": ("file", "f_inode"),
    "inode_number": ("inode", "i_ino"),
    "inode_generation": ("inode", "i_generation"),
    "inode_superblock": ("inode", "i_sb"),
    "superblock_device": ("super_block", "s_dev"),
}
# Kernels before 6.13 have none.
_CALLS: Final = {"cookie": "bpf_session_cookie", "is_return": "bpf_session_is_return"}


@attrs.frozen
class Kernel:
    """One kernel.

    Attributes:
        fields: Where its structures have what we read.
        calls: What sessions call; None if it has no sessions.
    """

    fields: Fields
    calls: SessionCalls | None


def known(cache: Path | None = None) -> Kernel:
    """Return what is known of the running kernel.

    Args:
        cache: Where it is kept; the user's cache by default.

    Raises:
        ProbesRefusedError: If it tells nothing of its types.
    """
    path = _kept_at(cache)
    if path is not None:
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
            return _read(path)
    try:
        found = looked_up(Btf(KERNEL.read_bytes()))
    except (OSError, BtfError) as failure:
        problem = f"the kernel's type information can't be used ({KERNEL}: {failure})"
        hint = "a kernel with CONFIG_DEBUG_INFO_BTF has it; use --memory-backend shim"
        raise ProbesRefusedError(problem, hint=hint) from failure
    if path is not None:
        with contextlib.suppress(OSError):
            _keep(found, path)
    return found


def looked_up(btf: Btf) -> Kernel:
    """Return what a kernel's type information says; raises BtfError if something is missing."""
    offsets = {name: btf.offset(*path) for name, path in _FIELDS.items()}
    fields = Fields(**offsets, number_bytes=btf.size("upid"))
    try:
        calls = SessionCalls(**{name: btf.function(full) for name, full in _CALLS.items()})
    except BtfError:
        return Kernel(fields, None)
    return Kernel(fields, calls)


def _kept_at(cache: Path | None) -> Path | None:
    """Return the file for this kernel and this list of questions; None if there is no place."""
    try:
        folder, notes = cache_folder(cache), _NOTES.read_bytes()
    except (ToolError, OSError):
        return None
    questions = json.dumps([_FIELDS, _CALLS]).encode()
    return folder / f"kernel-{hashlib.sha256(notes + questions).hexdigest()[:16]}.json"


def _read(path: Path) -> Kernel:
    plain = json.loads(path.read_bytes())
    calls = plain["calls"]
    return Kernel(Fields(**plain["fields"]), None if calls is None else SessionCalls(**calls))


def _keep(kernel: Kernel, path: Path) -> None:
    """Write the whole file at once: two runs may do so."""
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as file:
        try:
            json.dump(attrs.asdict(kernel), file)
            file.flush()
            os.replace(file.name, path)  # noqa: PTH105 - a name, not a path
        except BaseException:
            Path(file.name).unlink()
            raise
