"""What `setup status` says of an executor and its tools (spec/cli-upload.md 1.10)."""

from __future__ import annotations

from pathlib import Path

import pytest

from codspeed.cli.setup import _tools
from codspeed.model import Privileges, System, Tool
from codspeed.protocols import ExecutorDefaults, ExecutorDescriptor
from codspeed.registry import Plugin, PluginState

SYSTEM = System("linux", "debian", "12", "x86_64", 0, Path(), {})
HERE = Path("/usr/bin/x")


def lines(*tools: Tool, reason: str = "", privileges: Privileges = Privileges()) -> list[str]:  # noqa: B008 - frozen
    class Executor(ExecutorDefaults):
        def tools(self, _system: System) -> tuple[Tool, ...]:
            return tools

        def privileges(self) -> Privileges:
            return privileges

    descriptor = ExecutorDescriptor(name="x", label="X", mode="m", load=lambda: Executor)
    plugin = Plugin("x", "codspeed.executors", "d", "1", 1, PluginState.OK, reason=reason)
    return _tools([plugin._replace(descriptor=descriptor)], SYSTEM)


@pytest.mark.parametrize(
    ("tools", "line"),
    [
        ((), "✓ x executor: No tool to install"),
        ((Tool("grind", HERE, "3.19.0"),), "✓ x executor: grind (3.19.0)"),
        ((Tool("grind", HERE, "3"), Tool("dbg", HERE)), "✓ x executor: grind (3), dbg"),
        ((Tool("grind", None),), "✗ x executor: grind (not installed)"),
        ((Tool("grind", HERE, "3", "too old"),), "✗ x executor: grind (3, too old)"),
        ((Tool("dbg", None, required=False),), "! x executor: dbg (not installed)"),
    ],
)
def test_a_tool_has_one_line(tools: tuple[Tool, ...], line: str) -> None:
    assert lines(*tools) == ["Tools", f"  {line}"]


def test_what_helps_stands_below() -> None:
    shown = lines(
        Tool("grind", None, remedy="apt-get install grind"),
        Tool("cc", HERE, remedy="apt-get install gcc"),
        reason="no call stacks",
        privileges=Privileges(sudo=True, purpose="to load probes"),
    )

    assert shown[1:] == [
        "  ✗ x executor: grind (not installed), cc",
        "    no call stacks",
        "    grind: apt-get install grind",
        "    privileges: sudo to load probes",
    ]


def test_an_executor_that_breaks_is_a_line() -> None:
    class Broken(ExecutorDefaults):
        def tools(self, _system: System) -> tuple[Tool, ...]:
            msg = "no such file"
            raise OSError(msg)

    descriptor = ExecutorDescriptor(name="x", label="X", mode="m", load=lambda: Broken)
    plugin = Plugin("x", "codspeed.executors", "d", "1", 1, PluginState.OK, descriptor=descriptor)

    assert _tools([plugin], SYSTEM)[1:] == ["  ✗ x executor: OSError: no such file"]
