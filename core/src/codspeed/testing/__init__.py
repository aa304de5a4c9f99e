"""Test kit for authors of plugins: contract tests, fakes, a pytest plugin; no part of the product.

    from codspeed.testing.contract import ExecutorContract

    pytest_plugins = ["codspeed.testing.plugin"]

    class TestMine(ExecutorContract):
        @pytest.fixture
        def descriptor(self): return my_package.descriptor.descriptor

        @pytest.fixture
        def executor(self): return MyExecutor(MyOptions())

Names are imported on first use, so that a test that needs one fake does not pay for the rest.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from codspeed.testing.contract import ExecutorContract
    from codspeed.testing.fake_service import FakeService
    from codspeed.testing.fakes import FakeExecutor, FakeReporter, FakeSession, FakeUploader
    from codspeed.testing.fifo import fifo_lock
    from codspeed.testing.instrument_contract import InstrumentContract
    from codspeed.testing.parts import make_part, restored
    from codspeed.testing.sessions import session

__all__ = [
    "ExecutorContract",
    "FakeExecutor",
    "FakeReporter",
    "FakeService",
    "FakeSession",
    "FakeUploader",
    "InstrumentContract",
    "fifo_lock",
    "make_part",
    "restored",
    "session",
]

_LAZY: Final = {
    "ExecutorContract": "contract",
    "FakeExecutor": "fakes",
    "FakeReporter": "fakes",
    "FakeService": "fake_service",
    "FakeSession": "fakes",
    "FakeUploader": "fakes",
    "InstrumentContract": "instrument_contract",
    "fifo_lock": "fifo",
    "make_part": "parts",
    "restored": "parts",
    "session": "sessions",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
