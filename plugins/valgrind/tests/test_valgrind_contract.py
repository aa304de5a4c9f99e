"""The rules of all executors, under a real Valgrind."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from codspeed.testing import ExecutorContract
from codspeed_valgrind.descriptor import ValgrindOptions
from codspeed_valgrind.descriptor import descriptor as valgrind_descriptor
from codspeed_valgrind.executor import ValgrindExecutor

if TYPE_CHECKING:
    from codspeed.protocols import ExecutorDescriptor

pytestmark = [
    pytest.mark.tool,
    pytest.mark.usefixtures("no_uprobes"),
    pytest.mark.timeout(180),  # simulation is up to 100 times slower, and the machine may be busy
]


class TestValgrindExecutor(ExecutorContract):
    @pytest.fixture
    def descriptor(self) -> ExecutorDescriptor:
        return valgrind_descriptor

    @pytest.fixture
    def executor(self) -> ValgrindExecutor:
        return ValgrindExecutor(ValgrindOptions())
