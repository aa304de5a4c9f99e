"""The machine, what it offers an executor, and what an executor asks of it."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from pathlib import Path

import attrs


@attrs.frozen
class System:
    """Facts about this machine that are needed before a run; read once by `codspeed.environment`.

    Attributes:
        os: "linux", "macos" or "windows".
        distribution: `ID` of os-release ("debian"), empty elsewhere.
        version: `VERSION_ID` of os-release or its like; may be empty (rolling distributions).
        arch: "x86_64" or "aarch64" or what uname says.
        uid: Effective user id; -1 on Windows.
        temp: The system's folder for temporary files.
        env: The environment as it was when codspeed started.
    """

    os: str
    distribution: str
    version: str
    arch: str
    uid: int
    temp: Path
    env: Mapping[str, str] = attrs.field(repr=False)


class SupportLevel(enum.Enum):
    """What a plugin can do on this system."""

    OK = "ok"
    DEGRADED = "degraded"
    UNSUPPORTED = "unsupported"


@attrs.frozen
class Support:
    """A level and, unless it is OK, what is lost or why it can't work."""

    level: SupportLevel
    reason: str = ""

    @classmethod
    def ok(cls) -> Support:
        """Everything works here."""
        return cls(SupportLevel.OK)

    @classmethod
    def degraded(cls, lost: str) -> Support:
        """It works, without what `lost` says."""
        return cls(SupportLevel.DEGRADED, lost)

    @classmethod
    def unsupported(cls, why: str) -> Support:
        """It can't work here."""
        return cls(SupportLevel.UNSUPPORTED, why)


@attrs.frozen
class Tool:
    """A program that an executor needs.

    Attributes:
        found: Where it is; None if it is missing.
        problem: Why what was found does not fit; empty if it does.
        remedy: The command or sentence that brings it.
        required: False if the executor degrades without it.
    """

    name: str
    found: Path | None
    version: str = ""
    problem: str = ""
    remedy: str = ""
    required: bool = True

    @property
    def is_usable(self) -> bool:
        """Whether it is here and fits."""
        return self.found is not None and not self.problem


@attrs.frozen
class Privileges:
    """Whether an executor needs root's rights, for what and why."""

    sudo: bool = False
    purpose: str = ""


class Sharing(enum.Enum):
    """How a machine-wide resource is held while a part runs."""

    SHARED = "shared"
    EXCLUSIVE = "exclusive"


class Rounds(enum.Enum):
    """How a harness repeats a target: until its time bounds are met, or exactly once."""

    TIMED = "timed"
    ONCE = "once"


class ArchiveKind(enum.Enum):
    """How uploaders that pack profile folders store this executor's."""

    PLAIN = "plain"
    GZIP = "gzip"


@attrs.frozen
class Comparability:
    """Fingerprint fields whose difference refuses a comparison, and those that only warn."""

    refuses: tuple[str, ...] = ()
    warns: tuple[str, ...] = ()
