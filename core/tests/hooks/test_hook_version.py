"""Which protocol versions and which integrations are served."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codspeed.errors import ClientVersionError, ProtocolVersionError
from codspeed.hooks.version import RUNNER_VERSIONS, VersionRange, negotiate, require_client

MEMORY = RUNNER_VERSIONS.narrowed(2, "memory profiling")


@pytest.mark.parametrize(
    ("offered", "supported", "problem", "hint"),
    [
        pytest.param(
            0,
            RUNNER_VERSIONS,
            "Integration is using a version of the protocol that is smaller than the minimal"
            " supported protocol version (0 < 1). Please update the integration to a supported"
            " version.",
            "upgrade the integration",
            id="too old",
        ),
        pytest.param(
            3,
            RUNNER_VERSIONS,
            "Runner is using an incompatible protocol version (2 < 3). Please update the runner to"
            " the latest version.",
            "upgrade codspeed-core",
            id="too new",
        ),
        pytest.param(
            2**64 - 1,
            RUNNER_VERSIONS,
            "Runner is using an incompatible protocol version (2 < 18446744073709551615). Please"
            " update the runner to the latest version.",
            "upgrade codspeed-core",
            id="largest on the wire",
        ),
        pytest.param(
            1,
            MEMORY,
            "Memory profiling requires protocol version 2 or higher, but the integration speaks"
            " version 1.",
            "upgrade the integration",
            id="too old for memory",
        ),
        pytest.param(
            3,
            MEMORY,
            "Runner is using an incompatible protocol version (2 < 3). Please update the runner to"
            " the latest version.",
            "upgrade codspeed-core",
            id="too new for memory",
        ),
    ],
)
def test_refused_version_is_told_in_the_contracts_words_with_the_side_to_upgrade(
    offered: int, supported: VersionRange, problem: str, hint: str
) -> None:
    with pytest.raises(ProtocolVersionError) as caught:
        negotiate(offered, supported)

    assert caught.value.problem == problem
    assert caught.value.hint == hint


def test_hint_names_the_integration_once_it_is_known() -> None:
    with pytest.raises(ProtocolVersionError) as caught:
        negotiate(0, integration="pytest-codspeed 4.0.0")

    assert caught.value.hint == "upgrade pytest-codspeed 4.0.0"


@given(oldest=st.integers(1, 100), span=st.integers(0, 100), offered=st.integers(0, 2**64 - 1))
def test_answers_exactly_inside_the_range(oldest: int, span: int, offered: int) -> None:
    supported = VersionRange(oldest, oldest + span)
    try:
        agreed = negotiate(offered, supported)
    except ProtocolVersionError:
        assert not oldest <= offered <= oldest + span
    else:
        assert agreed == offered
        assert oldest <= offered <= oldest + span


def test_range_is_only_narrowed_and_never_widened() -> None:
    assert RUNNER_VERSIONS.narrowed(0, "walltime profiling") == VersionRange(1, 2)
    assert RUNNER_VERSIONS.narrowed(1, "walltime profiling") == VersionRange(1, 2)
    assert RUNNER_VERSIONS.narrowed(2, "memory profiling") == VersionRange(2, 2, "memory profiling")


def test_range_that_holds_nothing_is_a_local_fault() -> None:
    with pytest.raises(ValueError, match=r"newest \(2\) is below oldest \(3\)"):
        RUNNER_VERSIONS.narrowed(3, "memory profiling")


# --- Integrations --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "version",
    [
        *("4.3.0", "4.3", "4.3.1", "4.10.0", "5.0.0", "10.0.0", "v4.3.0", "4.3.0.1"),
        *("4.3.0+local.1", "4.3.0.post1", "4.4.0rc1", "5.0.0-beta.2", "4.4.0.dev3+g1234"),
    ],
)
def test_integration_at_or_above_the_oldest_is_served(version: str) -> None:
    require_client("pytest-codspeed", version, "4.3.0", purpose="memory profiling")


@pytest.mark.parametrize(
    "version",
    ["4.2.0", "4.2.99", "3.99", "4", "0.0.0", "4.3.0rc1", "4.3.0-rc.1", "4.3.0.dev1", "4.3.0-1"],
)
def test_older_integration_and_pre_release_are_refused(version: str) -> None:
    with pytest.raises(ClientVersionError) as caught:
        require_client("pytest-codspeed", version, "4.3.0", purpose="memory profiling")

    assert caught.value.problem == (
        "This integration doesn't support memory profiling."
        " Please update your integration to a version that supports memory profiling."
    )
    assert caught.value.hint == f"upgrade pytest-codspeed {version} to 4.3.0 or later"


@pytest.mark.parametrize(
    "version", ["", "latest", "4.", ".4", "4..3", "4.3.0 ", "4.3.0 rc1", "४.३", "1" * 5000]
)
def test_version_that_is_none_is_refused(version: str) -> None:
    with pytest.raises(ClientVersionError) as caught:
        require_client("pytest-codspeed", version, "4.3.0", purpose="memory profiling")

    assert caught.value.problem == "Received invalid integration version"
    assert caught.value.hint == (
        f"pytest-codspeed calls itself {version!r}; install a release of it, 4.3.0 or later"
    )


@given(st.text())
def test_any_text_is_accepted_or_refused(version: str) -> None:
    try:
        require_client("x", version, "1.0.0", purpose="memory profiling")
    except ClientVersionError as refusal:
        assert refusal.hint is not None  # noqa: PT017 - nothing else may be raised
