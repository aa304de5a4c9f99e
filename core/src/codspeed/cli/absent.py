"""Verbs and options of plugins that are not installed: what they belong to and how to get it.

How to install is said in terms of how core itself was installed (`direct_url.json`, PEP 610), never
as a bare name that somebody else could register.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

from codspeed import __version__
from codspeed.errors import PluginError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from codspeed.cli.scan import UnknownOptionError
    from codspeed.registry import Registry

_REPORT: Final = "codspeed-report"
_SERVICE: Final = "codspeed-service"
_VALGRIND: Final = "codspeed-valgrind"
_WALLTIME: Final = "codspeed-walltime"
_HARNESS: Final = "codspeed-exec-harness"

# Verb -> distribution and line in the help.
_VERBS: Final = {
    "compare": (_REPORT, "Compare commits, branches, runs or bundles"),
    "ab": (_REPORT, "Compare two versions on this machine, one beside the other"),
    "flame": (_REPORT, "Show where a benchmark spends its cost"),
    "report": (_REPORT, "Write results as a web page that needs no server"),
    "store": (_REPORT, "Look after the local history"),
    "accept": (_REPORT, "Accept a change of a benchmark"),
    "import": (_REPORT, "Import results of other tools"),
    "merge": (_REPORT, "Merge the bundles of a split run"),
    "auth": (_SERVICE, "Log in to the CodSpeed service"),
    "update": (_SERVICE, "Update codspeed"),
}

# Flag -> distribution.
_FLAGS: Final = {
    "--token": _SERVICE,
    "--oauth-token": _SERVICE,
    "--api-url": _SERVICE,
    "--upload-url": _SERVICE,
    "--repository": _SERVICE,
    "-r": _SERVICE,
    "--provider": _SERVICE,
    "--base": _SERVICE,
    "--message-format": _SERVICE,
    "--upload-optional": _SERVICE,
    "--simulation-tool": _VALGRIND,
    "--valgrind-flavour": _VALGRIND,
    "--cycle-estimation": _VALGRIND,
    "--exclude-allocations": _VALGRIND,
    "--experimental-fair-sched": _VALGRIND,
    "--experimental-cycle-estimation": _VALGRIND,
    "--experimental-exclude-allocations": _VALGRIND,
    "--repeat": _VALGRIND,
    "--enable-perf": _WALLTIME,
    "--enable-profiler": _WALLTIME,
    "--perf-unwinding-mode": _WALLTIME,
    "--walltime-profiler": _WALLTIME,
    "--profile-pass": _WALLTIME,
    "--mongo-uri-env-name": "codspeed-mongodb",
    "--store": _REPORT,
    "--gate": _REPORT,
    "--warmup-time": _HARNESS,
    "--max-time": _HARNESS,
    "--min-time": _HARNESS,
    "--max-rounds": _HARNESS,
    "--min-rounds": _HARNESS,
}
_ONLY_EXEC: Final = frozenset(flag for flag, owner in _FLAGS.items() if owner == _HARNESS)

# Mode -> distribution.
MODES: Final = {
    "simulation": _VALGRIND,
    "instrumentation": _VALGRIND,
    "walltime": _WALLTIME,
    "memory": "codspeed-memory",
    "instructions": "codspeed-icount",
}

HARNESS: Final = _HARNESS


def describe(verb: str, owner: str) -> str:
    """Return the line in the help for a plugin's verb; of a stranger's only where it is from."""
    known = _VERBS.get(verb)
    return known[1] if known is not None and known[0] == owner else f"(from {owner})"


def missing(what: str, distribution: str) -> PluginError:
    """Return the error for something that a plugin brings which is not installed."""
    problem = f"{what} needs {distribution}, which is not installed"
    return PluginError(problem, hint=how_to_install(distribution))


def unknown_verb(name: str, verbs: Iterable[str], registry: Registry) -> Exception:
    """Return the error for a verb that does not exist here."""
    if name in _VERBS:
        owner = _VERBS[name][0]
        return (
            missing(f"`codspeed {name}`", owner)
            if not _has(registry, owner)
            else _older(f"`codspeed {name}`", owner)
        )
    from codspeed.registry import nearest  # noqa: PLC0415 - late: start-up stays quick

    near = nearest(name, [*verbs, *_VERBS])
    hint = f"did you mean `codspeed {near}`?" if near else "see `codspeed --help`"
    return UsageError(f"no command '{name}'", hint=hint)


def explain(error: UnknownOptionError, flags: Sequence[str], registry: Registry) -> Exception:
    """Return an error that says more about an unknown option."""
    owner = _FLAGS.get(error.flag)
    if error.flag in _ONLY_EXEC and _has(registry, _HARNESS):
        error.hint = f"{error.flag} belongs to `codspeed exec`, and to targets in codspeed.yml"
        return error
    if owner is not None:
        return (
            missing(error.flag, owner) if not _has(registry, owner) else _older(error.flag, owner)
        )
    from codspeed.registry import nearest  # noqa: PLC0415 - late: start-up stays quick

    near = nearest(error.flag, flags)
    if error.after_word:
        error.hint = "options of the benchmark command come after --: codspeed run -- COMMAND"
    elif near:
        error.hint = f"did you mean '{near}'?"
    return error


def _older(what: str, owner: str) -> PluginError:
    problem = f"the installed {owner} does not bring {what} to this command"
    return PluginError(problem, hint="a later version may; see `codspeed plugins list` and --help")


def _has(registry: Registry, distribution: str) -> bool:
    return any(
        plugin.distribution == distribution
        for group in registry.groups()
        for plugin in registry.plugins(group)
    )


def how_to_install(distribution: str) -> str:
    """Return a sentence with the command that installs a distribution of ours."""
    folder = f"plugins/{distribution.removeprefix('codspeed-').replace('-', '_')}"
    origin = _direct_url()
    url = str(origin.get("url", ""))
    if "vcs_info" in origin:
        revision = origin["vcs_info"].get("commit_id", "")
        source = f"{distribution} @ git+{url}@{revision}#subdirectory={folder}"
        return f"install it from where core came from: {sys.executable} -m pip install '{source}'"
    if url.startswith("file:"):
        return _from_folder(url, folder, editable=origin.get("dir_info", {}).get("editable", False))
    return f"install it from the same place as codspeed-core {__version__}"


def _from_folder(url: str, folder: str, *, editable: bool) -> str:
    from pathlib import Path  # noqa: PLC0415 - late: start-up stays quick
    from urllib.parse import urlsplit  # noqa: PLC0415 - late: start-up stays quick
    from urllib.request import url2pathname  # noqa: PLC0415 - late: start-up stays quick

    clone = Path(url2pathname(urlsplit(url).path)).parent
    if not (clone / folder).is_dir():
        return f"it is not in {clone} yet: a later version of codspeed brings it"
    option = "-e " if editable else ""
    return f"install it from your clone: {sys.executable} -m pip install {option}{clone / folder}"


def _direct_url() -> dict[str, Any]:
    """Return how codspeed-core was installed (PEP 610); empty if from an index or unknown."""
    import importlib.metadata  # noqa: PLC0415 - late: start-up stays quick
    import json  # noqa: PLC0415 - late: start-up stays quick

    try:
        text = importlib.metadata.distribution("codspeed-core").read_text("direct_url.json")
        data = json.loads(text or "{}")
    except (importlib.metadata.PackageNotFoundError, ValueError):
        return {}
    return data if isinstance(data, dict) else {}
