"""What we need to know of the running kernel, looked up once and kept in the user's cache."""

from __future__ import annotations

from typing import Final

from codspeed_memory.ebpf.btf import KERNEL, Btf, BtfError
from codspeed_memory.ebpf.following import Fields
from codspeed_memory.ebpf.handlers import SessionCalls

_FIELDS: Final = {
    "task_pid": ("task_struct", "pid"),
    "task_tgid": ("task_struct", "tgid"),
    "task_mm": ("task_struct", "mm"),
    "task_files": ("task_struct", "files"),
    "task_signal": ("task_struct", "signal"),
    "signal_live": ("signal_struct", "live"),
    "mm_exe_file": ("mm_struct", "exe_file"),
    "files_table": ("files_struct", "fdt"),
    "table_files": ("fdtable", "fd"),
    "file_inode": ("file", "f_inode"),
    "inode_number": ("inode", "i_ino"),
    "inode_superblock": ("inode", "i_sb"),
    "superblock_device": ("super_block", "s_dev"),
}


def looked_up() -> tuple[Fields, SessionCalls | None]:
    btf = Btf(KERNEL.read_bytes())
    fields = Fields(**{name: btf.offset(*path) for name, path in _FIELDS.items()})
    try:
        calls = SessionCalls(
            btf.function("bpf_session_cookie"), btf.function("bpf_session_is_return")
        )
    except BtfError:
        return fields, None
    return fields, calls
