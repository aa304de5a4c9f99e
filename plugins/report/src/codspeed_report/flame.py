"""Which benchmark of which run a word means, and its call tree as tables and nested nodes.

No I/O here but what an executor does to read a profile.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, ClassVar, Final

import attrs

from codspeed import bundle as bundles
from codspeed.errors import CodspeedError, UsageError
from codspeed.model import CallTree, Frame, PartRecord
from codspeed.orchestrate.slices import profile_of, profiles_of
from codspeed_native import fold

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import Any

    from codspeed.model import Bundle, RunPart
    from codspeed.protocols import Executor

_SHOWN_CANDIDATES = 12
# Kinds of functions that an interpreter runs.
_MANAGED: Final = frozenset({"python", "javascript"})


class NoProfileError(CodspeedError):
    """There is no call tree of a benchmark: not recorded, or removed."""

    slug: ClassVar[str] = "no-profile"


@attrs.frozen
class Candidate:
    """One benchmark as one part measured it."""

    record: PartRecord
    uri: str
    name: str


@attrs.frozen
class Profile:
    """A benchmark's call tree and where it came from.

    Attributes:
        of: Which of several profiles of a benchmark; empty for the usual one.
    """

    candidate: Candidate
    tree: CallTree
    of: str = ""


@attrs.define
class Node:
    """One function at one place of the tree.

    Attributes:
        frame: None for the node above all roots.
        self_cost: What it cost by itself at this place.
        total_cost: With everything below.
        children: By frame.
    """

    frame: Frame | None = None
    self_cost: float = 0
    total_cost: float = 0
    children: dict[Frame, Node] = attrs.field(factory=dict)

    def by_cost(self) -> list[Node]:
        """Return the children, the most expensive first."""
        return sorted(self.children.values(), key=lambda node: -node.total_cost)


def find(bundle: Bundle, text: str, mode: str | None = None) -> tuple[Candidate, ...]:
    """Return the benchmark that `text` means, once per part that measured it.

    Args:
        text: A URI, a name, or any part of a URI that is unique.
        mode: Only parts of this mode or executor.

    Raises:
        UsageError: If it means none or several; lists what there is.
    """
    every = tuple(_candidates(bundle, mode))
    for fits in (_is_uri, _is_name, _is_inside):
        found = tuple(each for each in every if fits(each, text))
        uris = tuple(dict.fromkeys(each.uri for each in found))
        if len(uris) > 1:
            problem = f"{text!r} is part of {len(uris)} benchmarks: {_listed(uris)}"
            raise UsageError(problem, hint="write more of the one you mean")
        if found:
            return found
    raise _unknown(bundle, text, tuple(dict.fromkeys(each.uri for each in every)), mode)


def load(
    bundle: Bundle,
    candidates: Sequence[Candidate],
    executor: Callable[[str, Mapping[str, Any]], Executor],
    of: str = "",
) -> Profile:
    """Return the profile of a benchmark.

    Args:
        candidates: The parts that measured it; only one of them may have a profile.
        executor: Makes an executor from its name and recorded options.
        of: Which of several profiles of a benchmark; empty for the usual one.

    Raises:
        NoProfileError: If no part has one; says why.
        UsageError: If several have one.
        CodspeedError: If an executor is not installed, or can't read what it wrote.
    """
    found = []
    reasons = []
    for each in candidates:
        record = each.record
        if not bundles.part_folder(bundle, record).is_dir():
            reasons.append(f"{record.mode}: the profiles were removed by `codspeed store gc`")
            continue
        part = bundles.restore_part(bundle, record)
        tree, reason = _tree(executor(record.executor, record.options), part, each, of)
        if tree is None:
            reasons.append(f"{record.mode}: {reason}")
        else:
            found.append(Profile(each, tree, of))
    if not found:
        problem = f"{candidates[0].uri} has no profile ({'; '.join(dict.fromkeys(reasons))})"
        raise NoProfileError(problem, hint="measure again, or in a mode that records call stacks")
    if len({profile.candidate.record.executor for profile in found}) > 1:
        modes = ", ".join(profile.candidate.record.mode for profile in found)
        problem = f"{candidates[0].uri} has several profiles: {modes}"
        raise UsageError(problem, hint="pick one with --mode")
    return found[-1]


def _tree(
    executor: Executor, part: RunPart, candidate: Candidate, of: str
) -> tuple[CallTree | None, str]:
    """Return a tree, or why there is none."""
    if of:
        trees = profiles_of(executor, part, candidate.uri)
        tree = trees.get(of)
        names = ", ".join(trees)
        without = f"its profiles are {names}" if names else "it has no profiles of that kind"
        empty = f"there is nothing in its profile {of!r}"
    else:
        tree = profile_of(executor, part, candidate.uri)
        without = empty = f"{candidate.record.executor} recorded no call stacks for it"
    if tree is None:
        return None, without
    return (tree, "") if tree.stacks else (None, empty)


def without_interpreter(tree: CallTree) -> CallTree:
    """Return a tree in which an interpreter's work counts for the functions that it ran.

    Without any such function the tree stays: the interpreter is all there is to see.
    """
    if not any(frame.kind in _MANAGED for stack in tree.stacks for frame in stack):
        return tree
    return fold.collapse(tree, lambda frame: frame.kind == "interpreter")


def nested(tree: CallTree) -> Node:
    """Return the stacks as nodes, under one that stands for everything."""
    top = Node()
    for stack, cost in tree.stacks.items():
        node = top
        node.total_cost += cost
        for frame in stack:
            child = node.children.get(frame)
            if child is None:
                child = node.children[frame] = Node(frame)
            child.total_cost += cost
            node = child
        node.self_cost += cost
    return top


def _candidates(bundle: Bundle, mode: str | None) -> Iterator[Candidate]:
    records = {record.index: record for record in bundle.manifest.parts}
    for results in bundle.results:
        record = records.get(results.part)
        if record is not None and mode in {None, record.mode, record.executor}:
            for benchmark in results.benchmarks:
                yield Candidate(record, benchmark.uri, benchmark.name)


def _is_uri(candidate: Candidate, text: str) -> bool:
    return candidate.uri == text


def _is_name(candidate: Candidate, text: str) -> bool:
    return candidate.name == text


def _is_inside(candidate: Candidate, text: str) -> bool:
    return text in candidate.uri


def _listed(uris: Sequence[str]) -> str:
    more = len(uris) - _SHOWN_CANDIDATES
    return ", ".join(uris[:_SHOWN_CANDIDATES]) + (f" and {more} more" if more > 0 else "")


def _unknown(bundle: Bundle, text: str, uris: Sequence[str], mode: str | None) -> UsageError:
    where = bundle.manifest.run_id + (f" in mode {mode}" if mode else "")
    if not uris:
        return UsageError(f"no benchmark was measured by {where}", hint="name another run")
    near = difflib.get_close_matches(text, uris, n=3, cutoff=0.4)
    problem = f"no benchmark of {where} has {text!r} in its URI"
    return UsageError(problem, hint=f"there is: {_listed(near or uris)}")
