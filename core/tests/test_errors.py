"""The promises of the errors: names, codes and their documentation."""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import pkgutil
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from codspeed import errors
from codspeed.errors import (
    EXIT_CODE_PRECEDENCE,
    BenchmarkFailedError,
    BundleError,
    CodspeedError,
    InterruptedRunError,
    NoBenchmarksError,
    UploadError,
    UsageError,
    exit_code,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

DOCUMENT = Path(__file__).parents[2] / "docs" / "errors.md"


def our_packages() -> list[str]:
    """Import names of everything of ours that is installed."""
    names = {distribution.name for distribution in importlib.metadata.distributions()}
    plugins = {name.replace("-", "_") for name in names if name.startswith("codspeed-")}
    return ["codspeed", *sorted(plugins - {"codspeed_core"})]


def import_all(name: str) -> None:
    try:
        package = importlib.import_module(name)
    except ModuleNotFoundError:  # another distribution of that name prefix, or no package
        return
    for module in pkgutil.walk_packages(package.__path__, f"{name}."):
        if not module.name.endswith("__main__") and ".testing" not in module.name:
            with contextlib.suppress(ImportError):  # another test's finding
                importlib.import_module(module.name)


def all_errors(root: type[CodspeedError] = CodspeedError) -> Iterator[type[CodspeedError]]:
    yield root
    for child in root.__subclasses__():
        yield from all_errors(child)


@pytest.fixture(scope="module")
def ours() -> list[type[CodspeedError]]:
    for name in our_packages():
        import_all(name)
    return [kind for kind in set(all_errors()) if kind.__module__.startswith("codspeed")]


@pytest.fixture(scope="module")
def documented() -> dict[str, str]:
    rows = re.findall(r"^\| `([a-z-]+)` \| (\d+) \|", DOCUMENT.read_text("utf-8"), re.MULTILINE)
    return dict(rows)


def test_every_error_has_a_slug_of_its_own(ours: list[type[CodspeedError]]) -> None:
    slugs = [kind.slug for kind in ours]

    assert sorted(slugs) == sorted(set(slugs))
    assert all("slug" in vars(kind) for kind in ours)


def test_every_slug_is_documented_with_its_code(
    ours: list[type[CodspeedError]], documented: dict[str, str]
) -> None:
    # Plugins that are not installed here may be documented too.
    known = {kind.slug: documented.get(kind.slug) for kind in ours}

    assert known == {kind.slug: str(kind.exit_code) for kind in ours}


def test_every_exit_code_has_a_place_in_the_precedence(ours: list[type[CodspeedError]]) -> None:
    assert {kind.exit_code for kind in ours} <= set(EXIT_CODE_PRECEDENCE)
    assert len(set(EXIT_CODE_PRECEDENCE)) == len(EXIT_CODE_PRECEDENCE)


def test_every_error_says_what_it_is_for(ours: list[type[CodspeedError]]) -> None:
    assert [kind.__name__ for kind in ours if not kind.__doc__] == []


@pytest.mark.parametrize(
    ("met", "code"),
    [
        pytest.param([], 0, id="none"),
        pytest.param([UploadError], 8, id="one"),
        pytest.param([NoBenchmarksError, BenchmarkFailedError], 4, id="command before empty"),
        pytest.param([BenchmarkFailedError, BundleError], 1, id="ours before the command's"),
        pytest.param([BundleError, UsageError], 2, id="usage before tool"),
        pytest.param([UsageError, InterruptedRunError], 130, id="interruption before all"),
    ],
)
def test_the_gravest_error_gives_the_exit_code(met: list[type[CodspeedError]], code: int) -> None:
    assert exit_code([kind("x") for kind in met]) == code


def test_an_exit_code_that_nobody_knows_is_no_success() -> None:
    class StrangersError(CodspeedError):
        slug = "stranger"
        exit_code = 42

    assert exit_code([StrangersError("x")]) == 1


def test_an_error_reads_as_problem_and_hint() -> None:
    assert str(CodspeedError("it broke", hint="mend it")) == "it broke\nmend it"
    assert str(CodspeedError("it broke")) == "it broke"


def test_a_framing_error_carries_the_offending_bytes() -> None:
    error = errors.FramingError("lost", offending="ff00")

    assert (error.offending, error.hint) == ("ff00", None)
