"""What core sees of the plugin."""

from __future__ import annotations

import sys

import pytest

from codspeed.errors import UsageError
from codspeed.model import Launch, Rounds, option_specs
from codspeed_exec_harness.descriptor import Bounds, descriptor
from codspeed_exec_harness.harness import ExecHarness
from codspeed_exec_harness.request import parse_targets


def test_the_descriptor_loads_the_harness() -> None:
    assert descriptor.load() is ExecHarness
    assert list(option_specs(descriptor.options)) == [
        "warmup_time",
        "max_time",
        "min_time",
        "max_rounds",
        "min_rounds",
    ]


def test_names_a_command_by_its_words() -> None:
    target = ExecHarness().target(Launch(("a", "b c")), None, Bounds())

    assert (target.name, target.uri) == ("a b c", "exec_harness::a b c")


def test_takes_the_bounds_of_the_command_line_where_a_target_has_none() -> None:
    target = ExecHarness(Bounds(max_rounds=3)).target(Launch(("a",)), None)

    assert target.bounds == Bounds(max_rounds=3)


def test_refuses_contradicting_bounds_before_anything_runs() -> None:
    with pytest.raises(UsageError):
        ExecHarness().target(Launch(("a",)), None, Bounds(min_rounds=2, max_rounds=1))


@pytest.mark.parametrize("rounds", list(Rounds))
def test_the_command_reads_the_targets_on_standard_input(rounds: Rounds) -> None:
    harness = ExecHarness()
    targets = [harness.target(Launch(("a",)), "n", Bounds(max_rounds=3))]
    launch = harness.command(targets, rounds)

    assert launch.argv == (
        sys.executable,
        "-P",
        "-m",
        "codspeed_exec_harness",
        "--rounds",
        rounds.value,
        "-",
    )
    assert launch.stdin is not None
    assert parse_targets(launch.stdin) == targets
