"""The fake executor keeps the contract, under each of its options."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from codspeed.testing.contract import ExecutorContract
from codspeed.testing.fakes import FakeExecutor, FakeOptions, fake_executor

if TYPE_CHECKING:
    from codspeed.protocols import ExecutorDescriptor

pytestmark = pytest.mark.process


class TestFakeExecutor(ExecutorContract):
    @pytest.fixture
    def descriptor(self) -> ExecutorDescriptor:
        return fake_executor

    @pytest.fixture
    def executor(self) -> FakeExecutor:
        return FakeExecutor(FakeOptions())
