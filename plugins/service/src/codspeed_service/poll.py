"""Wait until the service has processed a local run; runs in CI end with the upload.

Source: spec/cli-upload.md 5.4. Clock and sleeping are injected.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

import attrs

from codspeed_service.api import Api, Repository, ServiceError

_INTERVAL_SECONDS: Final = 1.0
_LIMIT_SECONDS: Final = 300.0
_TIMED_OUT: Final = "Polling results timed out after 5 minutes. Please try again later."
_FAILED: Final = "Run failed to be processed, try again in a few minutes"


@attrs.frozen
class Poll:
    """Asks for a run until it is processed.

    Attributes:
        sleep: Waits so many seconds.
        clock: Seconds of a clock that never goes back.
    """

    api: Api
    repository: Repository
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic

    def run(self, run_id: str) -> dict[str, Any]:
        """Return the processed run.

        Raises:
            ServiceError: If it takes too long or the service could not process it.
            AuthenticationError: If the session has expired.
        """
        return self._until(lambda: self.api.run(self.repository, run_id), _itself)

    def comparison(self, base: str, head: str) -> dict[str, Any] | str:
        """Return the comparison once the run `head` is processed, or why there is none.

        Raises:
            ServiceError: As above.
            AuthenticationError: As above.
        """
        found = self.api.comparison(self.repository, base, head)
        if isinstance(found, str):
            return found
        first = [found]

        def ask() -> dict[str, Any]:
            if first:
                return first.pop()
            again = self.api.comparison(self.repository, base, head)
            if isinstance(again, str):
                raise ServiceError(again)
            return again

        return self._until(ask, _head)

    def _until(
        self, ask: Callable[[], dict[str, Any]], run_of: Callable[[Any], Any]
    ) -> dict[str, Any]:
        end = self.clock() + _LIMIT_SECONDS
        while True:
            answer = ask()
            status = run_of(answer)["status"]
            if status == "COMPLETED":
                return answer
            if status == "FAILURE":
                raise ServiceError(_FAILED)
            if self.clock() >= end:
                raise ServiceError(_TIMED_OUT)
            self.sleep(_INTERVAL_SECONDS)


def _itself(run: Any) -> Any:
    return run


def _head(comparison: Any) -> Any:
    run = comparison["headRun"]
    if not isinstance(run, dict) or "status" not in run:
        problem = "the service's comparison does not say how far the run is"
        raise ServiceError(problem)
    return run
