"""What core knows of this instrument without loading it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from codspeed.model import Support, System, option
from codspeed.protocols import InstrumentDescriptor

if TYPE_CHECKING:
    from codspeed_mongodb.instrument import MongoInstrument


@attrs.frozen
class MongoOptions:
    """The one option.

    Attributes:
        mongo_uri_env_name: Names the variable with the URI that the benchmarks connect to.
    """

    mongo_uri_env_name: str | None = option(
        None,
        help="Variable that holds the URI of the MongoDB server (instrument mongodb).",
        metavar="NAME",
        verbs=("run",),
    )


def _load() -> type[MongoInstrument]:
    from codspeed_mongodb.instrument import MongoInstrument  # noqa: PLC0415 - only when selected

    return MongoInstrument


def _support(system: System) -> Support:
    if system.os != "linux":
        return Support.unsupported("the tracer exists for Linux only")
    return Support.ok()


descriptor = InstrumentDescriptor(
    name="mongodb",
    label="MongoDB",
    load=_load,
    options=MongoOptions,
    support=_support,
)
