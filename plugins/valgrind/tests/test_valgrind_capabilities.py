from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from codspeed_valgrind.capabilities import find, probe

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

FORK = ("3.26.0.codspeed6", "--obj-skip", "--cycle-estimation")

pytestmark = pytest.mark.process


def test_a_fork_can_what_its_help_lists(stand_in: Callable[..., Path]) -> None:
    stand_in(*FORK)
    found = find("codspeed")

    assert found is not None
    assert (found.flavour, found.version) == ("codspeed", "3.26.0.codspeed6")
    assert (found.obj_skip, found.cycle_estimation, found.tracegrind) == (True, True, True)


def test_what_it_can_does_not_follow_from_the_version(stand_in: Callable[..., Path]) -> None:
    stand_in("3.26.0.codspeed6", "--obj-skip")
    found = find("codspeed")

    assert found is not None
    assert (found.obj_skip, found.cycle_estimation) == (True, False)


def test_a_stock_valgrind_knows_nothing_of_it(stand_in: Callable[..., Path]) -> None:
    stand_in("3.19.0")
    found = find("stock")

    assert found is not None
    assert found.flavour == "stock"
    assert (found.obj_skip, found.cycle_estimation, found.tracegrind) == (False, False, False)


def test_without_the_wanted_flavour_the_first_is_taken(
    stand_in: Callable[..., Path], tmp_path: Path
) -> None:
    stand_in(*FORK)
    found = find("stock", str(tmp_path / "stand-in"))

    assert found is not None
    assert found.flavour == "codspeed"


def test_no_valgrind_on_path_is_none(tmp_path: Path) -> None:
    assert find("stock", str(tmp_path)) is None


def test_a_program_of_that_name_that_is_none_is_passed_over(tmp_path: Path) -> None:
    program = tmp_path / "valgrind"
    program.write_text("#!/bin/sh\necho nothing of the kind\n")
    program.chmod(0o755)

    assert probe(program) is None
    assert find("stock", str(tmp_path)) is None
