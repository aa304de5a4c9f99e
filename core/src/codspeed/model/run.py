"""One run: its parts, where it happened, and the bundle it leaves."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import attrs

from codspeed.model.launch import Integration, Launch, Outcome
from codspeed.model.result import BenchmarkResult
from codspeed.model.system import Comparability

# History: 1 first version.
BUNDLE_SCHEMA: Final = 1


class Compat(enum.Enum):
    """Whose arguments and environment an executor uses: the reference's to the letter, or ours."""

    CODSPEED = "codspeed"
    NATIVE = "native"


@attrs.frozen
class RunPart:
    """One command under one executor, while it is measured and when it is read back from a bundle.

    Attributes:
        index: Position in the run, from 0.
        executor: Entry-point name.
        mode: What the user picked.
        label: The command, for people.
        launch: What `Executor.measure` hands to the session; its env and stdin are empty when
            restored.
        folder: The profile folder; inside the bundle when restored.
        harnessed: The command is a harness that runs targets as benchmarks.
        compat: See `Compat`.
        options: The executor's options as plain values, for the record.
        outcome: None until measured, or when nothing could be measured.
        model: What a number of this part means (measurement-model id).
        error: What went wrong, in one line; empty if nothing did.
        error_slug: The machine name of it.
        slices: How many slices it was measured in, each with a profile folder of its own inside of
            `folder`; 0: in one piece.
    """

    index: int
    executor: str
    mode: str
    label: str
    launch: Launch
    folder: Path
    harnessed: bool = False
    compat: Compat = Compat.NATIVE
    options: Mapping[str, Any] = attrs.field(factory=dict)
    outcome: Outcome | None = None
    model: str = ""
    error: str = ""
    error_slug: str = ""
    slices: int = 0

    @property
    def pieces(self) -> tuple[RunPart, ...]:
        """Return what executors read: the part, or each of its slices as a part of its own."""
        if not self.slices:
            return (self,)
        # Names of one length: they end up in the environment, whose size moves counters.
        return tuple(
            attrs.evolve(self, folder=self.folder / f"slice-{number:03}", slices=0)
            for number in range(self.slices)
        )


@attrs.frozen
class RunContext:
    """Where a run belongs: neutral facts that each uploader turns into its own metadata.

    Attributes:
        provider: Entry-point name of the environment ("local", "github-actions").
        repository: "owner/name" of the remote, the folder's name without one.
        repository_key: Names the folder of this repository's data; made of readable and hashed
            text.
        root: The repository's root, or the working directory outside of one.
        remote: URL of `origin` without credentials; empty if there is none.
        commit: 40 hex digits; empty outside a repository.
        commit_time: Seconds since the epoch; 0 outside a repository.
        branch: Empty on a detached HEAD.
        base: Commit or branch this run is to be compared with; empty if unknown.
        dirty: The work tree differs from `commit`.
        event: "local", "push", "pull_request", ...
        facts: What else the provider knows, by its own names; text only.
    """

    provider: str
    repository: str
    repository_key: str
    root: Path
    remote: str = ""
    commit: str = ""
    commit_time: int = 0
    branch: str = ""
    base: str = ""
    dirty: bool = False
    event: str = "local"
    facts: Mapping[str, str] = attrs.field(factory=dict)


@attrs.frozen
class PartResults:
    """The results of one part."""

    part: int
    executor: str
    mode: str
    model: str
    benchmarks: tuple[BenchmarkResult, ...]


@attrs.frozen
class PartRecord:
    """What a manifest says of one part; paths are relative to the bundle.

    Enough to compare and upload the part where its executor is not installed.

    Attributes:
        environment_hash: Of the names and lengths of the variables the command saw; empty where
            the executor does not ask for a still environment.
        slices: See `RunPart`.
    """

    index: int
    executor: str
    distribution: str
    version: str
    mode: str
    label: str
    argv: tuple[str, ...]
    cwd: str
    harnessed: bool
    compat: Compat
    folder: str
    archive: str
    options: Mapping[str, Any] = attrs.field(factory=dict)
    integration: Integration | None = None
    model: str = ""
    comparability: Comparability = attrs.field(factory=Comparability)
    status: int | None = None
    interrupted: bool = False
    benchmarks: int = 0
    error: str = ""
    error_slug: str = ""
    environment_hash: str = ""
    slices: int = 0


@attrs.frozen
class Manifest:
    """manifest.json of a bundle: everything but numbers and profiles.

    Attributes:
        instruments: Entry-point names of those that observed.
        allow_empty: The user said that no benchmark is no error.
        options: What was set of the options of all plugins, also of those that did not measure;
            without secrets, and without what only the user may set.
    """

    schema: int
    run_id: str
    created_ns: int
    codspeed: str
    plugins: Mapping[str, str]
    context: RunContext
    variant: Mapping[str, str]
    fingerprint: Mapping[str, Any]
    parts: tuple[PartRecord, ...]
    exit_code: int = 0
    instruments: tuple[str, ...] = ()
    allow_empty: bool = False
    options: Mapping[str, Any] = attrs.field(factory=dict)


@attrs.frozen
class Bundle:
    """Everything a run left, immutable.

    Attributes:
        path: The bundle's folder.
    """

    path: Path
    manifest: Manifest
    results: tuple[PartResults, ...]
