"""What every test of the repository gets."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# Here, not in the modules that use it: pytest then explains the asserts of the contract tests.
pytest_plugins = ["codspeed.testing.plugin"]

# No deadline: a busy machine is not a fault of the code.
settings.register_profile("default", deadline=None)
settings.register_profile(
    "soak", deadline=None, max_examples=5_000, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("default")

# A user's suite: it needs pytest-codspeed, which our own environment must not have.
collect_ignore = ["examples/demo"]
