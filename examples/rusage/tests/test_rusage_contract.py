"""The whole conformance test: about forty rules."""

from __future__ import annotations

import pytest

from codspeed.testing.contract import ExecutorContract
from codspeed_example_rusage.descriptor import RusageOptions, descriptor
from codspeed_example_rusage.executor import RusageExecutor

pytestmark = pytest.mark.process


class TestRusageExecutor(ExecutorContract):
    descriptor = pytest.fixture(lambda self: descriptor)
    executor = pytest.fixture(lambda self: RusageExecutor(RusageOptions()))
