"""Which two runs are compared, and why these."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs

from codspeed import bundle as bundles
from codspeed.errors import IncomparableError, UsageError
from codspeed_report.selection import Selection, of_bundle

if TYPE_CHECKING:
    from codspeed_report.store import Match, Store

_SHOWN_CANDIDATES: Final = 8
_PACKED: Final = re.compile(r"\.(tar|tgz|zst|zstd|gz|xz)$")
_MEASURE: Final = "measure with: codspeed run -- COMMAND"


@attrs.frozen
class Taken:
    """One side of a comparison.

    Attributes:
        why: In a few words, to go behind the run's name.
        path: The bundle; it may be gone.
    """

    selection: Selection
    why: str
    path: Path


def pair(store: Store, base: str | None, head: str | None) -> tuple[Taken, Taken]:
    """Return base and head; what is not named is the newest run that fits.

    Raises:
        UsageError: If a name is ambiguous, or both mean the same run.
        IncomparableError: If there is no such run, or nothing to compare it with.
        BundleError: If a path that was named holds no whole bundle.
    """
    taken_head = _newest(store, base) if head is None else named(store, head)
    if base is None:
        return _earlier(store, taken_head), taken_head
    run_id = taken_head.selection.run.run_id
    taken_base = named(store, base, other_than=run_id)
    if taken_base.selection.run.run_id == run_id:
        problem = f"base and head are the same run, {run_id}"
        raise UsageError(problem, hint="name two runs; `codspeed store list` shows them")
    return taken_base, taken_head


def named(store: Store, text: str, *, other_than: str = "") -> Taken:
    """Return the run that `text` names: a bundle's path, a run id, a commit or a branch.

    Ids may be cut to what is unique. Of a commit or branch the newest run is taken.

    Args:
        other_than: A run id that is passed over: it is the other side already.

    Raises:
        UsageError: If several runs begin like that.
        IncomparableError: If no run is meant.
        BundleError: If it is a path but no whole bundle.
    """
    if _is_path(text):
        return Taken(of_bundle(bundles.read(Path(text))), f"the bundle {text}", Path(text))
    found = store.matches(text, other_than=other_than) if text else ()
    if not found:
        raise _unknown(store, text, other_than)
    names = {each.run_id if each.kind == "run" else each.commit or each.branch for each in found}
    if len({each.kind for each in found}) > 1 or (found[0].kind != "branch" and len(names) > 1):
        raise _ambiguous(text, found)
    return _stored(store, found[0].run_id, _why(text, found))


def newest(store: Store) -> Taken:
    """Return the newest run with results.

    Raises:
        IncomparableError: If there is none.
    """
    return _newest(store, None)


def _stored(store: Store, run_id: str, why: str) -> Taken:
    return Taken(store.selection(run_id), why, store.bundles / run_id)


def _newest(store: Store, base: str | None) -> Taken:
    newest = store.newest()
    if newest is None:
        problem = f"no run with results is stored in {store.root}"
        raise IncomparableError(problem, hint=_MEASURE)
    if base == newest:
        problem = f"{base} is the newest run: nothing is newer to compare it with"
        raise IncomparableError(problem, hint=_MEASURE)
    return _stored(store, newest, "the newest run")


def _earlier(store: Store, head: Taken) -> Taken:
    run = head.selection.run
    earlier = store.newest_sharing(run.run_id)
    if earlier is None:
        problem = f"no earlier run in {store.root} shares a benchmark with {run.run_id}"
        raise IncomparableError(
            problem, hint="measure again, or name the base: codspeed compare BASE"
        )
    taken = _stored(store, earlier, "")
    shared = len(_benchmarks(taken.selection) & _benchmarks(head.selection))
    total = len(_benchmarks(head.selection))
    why = f"the newest earlier run that shares benchmarks, {shared} of {total}"
    return attrs.evolve(taken, why=why)


def _benchmarks(selection: Selection) -> set[tuple[str, str]]:
    return {(each.series.executor, each.series.uri) for each in selection.measurements}


def _is_path(text: str) -> bool:
    path = Path(text)
    return (path / bundles.MANIFEST).is_file() or (
        path.is_file() and _PACKED.search(path.name) is not None
    )


def _why(text: str, found: tuple[Match, ...]) -> str:
    kind = found[0].kind
    if kind == "run":
        return "named"
    return f"the newest run of {kind} {text}" if len(found) > 1 else f"the run of {kind} {text}"


def _ambiguous(text: str, found: tuple[Match, ...]) -> UsageError:
    candidates = list(
        dict.fromkeys(
            f"run {each.run_id}" if each.kind == "run" else f"commit {each.commit}"
            for each in found
        )
    )
    shown = ", ".join(candidates[:_SHOWN_CANDIDATES])
    more = len(candidates) - _SHOWN_CANDIDATES
    rest = f" and {more} more" if more > 0 else ""
    problem = f"{text!r} is the beginning of {len(candidates)} names: {shown}{rest}"
    return UsageError(problem, hint="write more of the one you mean")


def _unknown(store: Store, text: str, other_than: str) -> IncomparableError:
    runs = store.runs(_SHOWN_CANDIDATES)
    other = " other" if other_than and store.matches(text) else ""
    problem = f"no{other} run in {store.root} has the id, commit or branch {text!r}"
    if not runs:
        return IncomparableError(problem, hint=f"the store is empty; {_MEASURE}")
    branches = ", ".join(dict.fromkeys(run.branch for run in runs if run.branch)) or "none"
    newest = ", ".join(run.run_id for run in runs)
    return IncomparableError(problem, hint=f"newest runs: {newest}; their branches: {branches}")
