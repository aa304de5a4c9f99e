"""Whether a descriptor is light: core reads those of all installed plugins at every start."""

from __future__ import annotations

import functools
import importlib.metadata
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from codspeed.protocols import Descriptor

# What a descriptor's module may import of ours, and of others: attrs is two packages.
_LIGHT: Final = ("codspeed", "codspeed.errors", "codspeed.model", "codspeed.protocols")
_LIGHT_OTHERS: Final = frozenset({"attr", "attrs"})

_LIST_IMPORTS: Final = """
import json, sys
before = set(sys.modules)
__import__(sys.argv[1])
print(json.dumps(sorted(set(sys.modules) - before)))
"""


def heavy_imports(descriptor: Descriptor, group: str) -> list[str]:
    """Return what importing the module of a descriptor imports, and should not.

    Args:
        descriptor: As its entry point names it.
        group: Of the entry point.
    """
    module = _module_of(descriptor, group)
    own = module.rpartition(".")[0] or module
    return [name for name in _imports_of(module) if not _is_light(name, own)]


def _module_of(descriptor: Descriptor, group: str) -> str:
    """Return the module that defines the descriptor: of its entry point, or of its `load`."""
    for entry in importlib.metadata.entry_points(group=group):
        if entry.name == descriptor.name and entry.load() is descriptor:
            return entry.module
    return str(descriptor.load.__module__)


@functools.cache
def _imports_of(module: str) -> tuple[str, ...]:
    """Return what a fresh interpreter imports for `module`."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-c", _LIST_IMPORTS, module]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return tuple(json.loads(done.stdout))


def _is_light(name: str, own: str) -> bool:
    top = name.partition(".")[0]
    if top == "codspeed" and not _is_below(name, own):
        return any(_is_below(name, light) for light in _LIGHT[1:]) or name == _LIGHT[0]
    return top in sys.stdlib_module_names | _LIGHT_OTHERS or _is_below(name, own)


def _is_below(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.") or package.startswith(f"{name}.")
