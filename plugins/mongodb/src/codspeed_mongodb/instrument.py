"""The instrument `mongodb`: a tracer runs beside the benchmarks and counts their queries."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Final

from codspeed.errors import ConfigError
from codspeed.protocols import Hooks, InstrumentDefaults
from codspeed_mongodb import install
from codspeed_mongodb.tracer import Addresses, running
from codspeed_mongodb.uri import destination, proxied

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from codspeed.model import RunPart
    from codspeed_mongodb.descriptor import MongoOptions
    from codspeed_mongodb.tracer import Tracer

# Under the others the clock runs while a query is under way, and the proxy would be part of it.
_EXECUTOR: Final = "valgrind"


class MongoInstrument(InstrumentDefaults):
    """Leaves `instruments/mongo.json` in the profile folder.

    Args:
        options: The plugin's.
        env: The environment codspeed started with.
        addresses: Where the tracer listens.
    """

    def __init__(
        self,
        options: MongoOptions,
        env: Mapping[str, str] | None = None,
        addresses: Addresses | None = None,
    ) -> None:
        super().__init__(options)
        self._variable = options.mongo_uri_env_name
        self._env = os.environ if env is None else env
        self._addresses = addresses or Addresses()

    def environment(self, part: RunPart) -> Mapping[str, str]:
        """Lead the benchmark's client through the proxy, in simulation only (as the reference).

        Raises:
            ConfigError: If the variable with the URI is missing or holds none.
        """
        if part.executor != _EXECUTOR:
            return {}
        variables = {
            "CODSPEED_MONGO_INSTR_SERVER_ADDRESS": f"http://{self._addresses.server}",
        }
        if self._variable:
            proxy = f"mongodb://{self._addresses.proxy}"
            variables[self._variable] = proxied(self._uri(), proxy, variable=self._variable)
        return variables

    @contextlib.contextmanager
    def run(self, part: RunPart) -> Iterator[Hooks]:
        """Let the tracer run while the context is open, and keep what it counted.

        Raises:
            ConfigError: If the variable with the URI is missing or holds none.
            ToolError: If the tracer can't be had, started or stopped.
        """
        server = destination(self._uri(), variable=self._variable) if self._variable else None
        program = install.ensure(self._env)
        with running(program, self._addresses, self._env, server=server) as tracer:
            try:
                yield Hooks()
            except BaseException:
                # The run has failed already; its reason must not hide behind ours.
                with contextlib.suppress(Exception):
                    _keep(tracer, part)
                raise
            _keep(tracer, part)

    def _uri(self) -> str:
        """Return the URI of the server.

        Raises:
            ConfigError: If there is none.
        """
        value = self._env.get(self._variable or "")
        if value is None:
            problem = f"{self._variable} environment variable not found"
            hint = "--mongo-uri-env-name names the variable that holds the URI of the server"
            raise ConfigError(problem, hint=hint)
        return value


def _keep(tracer: Tracer, part: RunPart) -> None:
    """Write what the tracer counted.

    Raises:
        ToolError: If it does not tell.
        OSError: If it can't be written.
    """
    counted = tracer.terminate()
    folder = part.folder / "instruments"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "mongo.json").write_bytes(counted)
