"""Every way in which codspeed can fail, with the exit code that tells them apart.

A message has three parts: what happened (with the value), where, and what to do next. The first
two are `problem`, the third is `hint`. Exit codes are frozen: 0 ok, 1 internal or tool, 2 usage or
config, 3 regression, 4 benchmark command failed, 5 no benchmarks, 6 incomparable or no base, 7
authentication, 8 upload failed, 130 interrupted. Detail lives in `slug`, which is unique per class
and listed in docs/errors.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

# When several failures happened in one run, the first of these is the exit code of the program.
EXIT_CODE_PRECEDENCE: Final = (130, 2, 1, 4, 5, 7, 8, 6, 3)


class CodspeedError(Exception):
    """Base of all errors that are shown to the user without a traceback."""

    slug: ClassVar[str] = "error"
    exit_code: ClassVar[int] = 1

    def __init__(self, problem: str, *, hint: str | None = None) -> None:
        super().__init__(problem)
        self.problem = problem
        self.hint = hint

    def __str__(self) -> str:
        """Return problem and hint, a line each."""
        return self.problem if self.hint is None else f"{self.problem}\n{self.hint}"


class UsageError(CodspeedError):
    """The command line asks for something that does not exist or does not fit together."""

    slug = "usage"
    exit_code = 2


class ConfigError(CodspeedError):
    """A configuration file can't be read or holds something that is not understood."""

    slug = "config"
    exit_code = 2


class UnsupportedError(CodspeedError):
    """The executor or feature does not exist on this operating system."""

    slug = "unsupported"
    exit_code = 2


class PluginError(CodspeedError):
    """A plugin that was asked for can't be used: broken, duplicate, incompatible or absent."""

    slug = "plugin"
    exit_code = 2


class PluginCrashError(CodspeedError):
    """A plugin raised something that is not one of our errors."""

    slug = "plugin-crash"


class ToolError(CodspeedError):
    """A program that we need is missing or did not do its job."""

    slug = "tool"


class LockedError(CodspeedError):
    """Another run holds a resource of this machine that only one run can have."""

    slug = "locked"


class ProtocolError(CodspeedError):
    """The conversation with the integration inside the benchmarked process can't go on."""

    slug = "protocol"


class ProtocolVersionError(ProtocolError):
    """The integration and this runner have no protocol version in common."""

    slug = "protocol-version"


class ClientVersionError(ProtocolError):
    """The integration is too old for the selected executor."""

    slug = "client-version"


class FramingError(ProtocolError):
    """The byte stream on the FIFO can't be cut into frames any more.

    Attributes:
        offending: The first bytes of the frame that is wrong, as hex, for the log.
    """

    slug = "protocol-framing"

    def __init__(self, problem: str, *, hint: str | None = None, offending: str = "") -> None:
        super().__init__(problem, hint=hint)
        self.offending = offending


class BundleError(CodspeedError):
    """A bundle can't be written, or what is read is not a whole bundle."""

    slug = "bundle"


class ResultsError(CodspeedError):
    """A results file of an integration exists but can't be understood."""

    slug = "results"


class StoreError(CodspeedError):
    """The local store can't be opened, written or understood."""

    slug = "store"


class BenchmarkFailedError(CodspeedError):
    """The benchmarked command ended with a status other than 0, or could not be started."""

    slug = "benchmark-failed"
    exit_code = 4


class NoBenchmarksError(CodspeedError):
    """The command ended well but left no benchmark result."""

    slug = "no-benchmarks"
    exit_code = 5


class IncomparableError(CodspeedError):
    """There is nothing to compare with, or what there is was measured differently."""

    slug = "incomparable"
    exit_code = 6


class AuthenticationError(CodspeedError):
    """A service refused the token, or none was given."""

    slug = "authentication"
    exit_code = 7


class UploadError(CodspeedError):
    """An uploader could not take the bundle; the bundle itself is intact."""

    slug = "upload"
    exit_code = 8


class InterruptedRunError(CodspeedError):
    """The user, or whoever runs us, asked to stop."""

    slug = "interrupted"
    exit_code = 130


class Refused(CodspeedError):  # noqa: N818 - it is an answer to the integration first, an error second
    """Raised in a `Hooks` callback: the integration gets `Err` and the run ends with this."""

    slug = "refused"


def exit_code(errors: Iterable[CodspeedError]) -> int:
    """Return the exit code of a run that met `errors`; 0 when there are none.

    A code that is not in the table (an error class of a stranger's plugin) counts as 1: a run that
    met an error never ends with 0.
    """
    codes = {error.exit_code for error in errors}
    return next((code for code in EXIT_CODE_PRECEDENCE if code in codes), 1 if codes else 0)
