"""The rules of all executors, under a real Valgrind."""

from __future__ import annotations

import pytest

from codspeed.protocols import ExecutorDescriptor
from codspeed.testing import ExecutorContract
from codspeed_valgrind.descriptor import ValgrindOptions
from codspeed_valgrind.descriptor import descriptor as valgrind_descriptor
from codspeed_valgrind.executor import ValgrindExecutor

pytestmark = [pytest.mark.tool, pytest.mark.usefixtures("no_uprobes")]


class TestValgrindExecutor(ExecutorContract):
    @pytest.fixture
    def descriptor(self) -> ExecutorDescriptor:
        return valgrind_descriptor

    @pytest.fixture
    def executor(self) -> ValgrindExecutor:
        return ValgrindExecutor(ValgrindOptions())
