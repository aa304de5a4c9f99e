"""A small local runner of composite actions: bash steps run for real, other actions are emulated.

Source: docs.github.com "Metadata syntax for GitHub Actions" and "Workflow commands".
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import attrs
import yaml

from codspeed.testing.expression import condition, interpolate

# What GitHub's runner gives every job; everything else comes from the test.
_PASSED: Final = ("PATH", "HOME", "LANG", "TMPDIR", "SSL_CERT_FILE", "USER")
_PASSED_PREFIXES: Final = ("PIP_", "XDG_", "UV_")
_HEREDOC: Final = re.compile(r"([^=\s]+)<<(\S+)")

Emulation = Callable[[Mapping[str, str]], Mapping[str, str]]


@attrs.frozen
class StepResult:
    """What a step did.

    Attributes:
        status: Of its process; 0 for an emulated action.
        log: What it wrote, both streams.
    """

    name: str
    status: int
    log: str
    outputs: Mapping[str, str]


@attrs.frozen
class ActionResult:
    """What an action did.

    Attributes:
        steps: Those that ran, in order.
        summary: The job summary, Markdown.
    """

    status: int
    steps: tuple[StepResult, ...]
    outputs: Mapping[str, str]
    summary: str

    @property
    def log(self) -> str:
        """Everything that was written."""
        return "".join(step.log for step in self.steps)


@attrs.define
class CompositeRunner:
    """Runs one composite action as one step of a job.

    Attributes:
        action: Folder with action.yml.
        workspace: The job's working directory.
        temp: RUNNER_TEMP; kept between runs, as between steps of a job.
        env: Variables of the job; GITHUB_* among them make the `github` context.
        emulated: What other actions do, by name without version; called with the inputs.
        matrix: The context of that name; None outside of a matrix.
        strategy: The context of that name.
    """

    action: Path
    workspace: Path
    temp: Path
    env: Mapping[str, str]
    emulated: Mapping[str, Emulation] = attrs.field(factory=dict)
    matrix: Mapping[str, Any] | None = None
    strategy: Mapping[str, Any] | None = None

    def run(self, **inputs: str) -> ActionResult:
        """Run the action with inputs, whose names have underscores in place of dashes.

        Raises:
            ValueError: If action.yml uses what is not known here, or an input does not exist.
        """
        document = yaml.safe_load((self.action / "action.yml").read_text("utf-8"))
        given = {name.replace("_", "-"): value for name, value in inputs.items()}
        return _Run(self, document, given).result()


class _Run:
    """One use of an action."""

    def __init__(
        self, runner: CompositeRunner, document: Mapping[str, Any], given: Mapping[str, str]
    ) -> None:
        self._runner = runner
        self._document = document
        self._steps: list[StepResult] = []
        self._status = 0
        self._env = dict(_inherited()) | dict(runner.env)
        self._files = runner.temp / "_runner_file_commands"
        self._files.mkdir(parents=True, exist_ok=True)
        self._summary = self._files / "summary"
        self._summary.write_text("")
        self._contexts: dict[str, Any] = {
            "github": self._github(),
            "runner": {"os": "Linux", "arch": "X64", "temp": str(runner.temp)},
            "matrix": runner.matrix,
            "strategy": runner.strategy,
            "steps": {},
        }
        self._contexts["inputs"] = self._inputs(given)

    def result(self) -> ActionResult:
        """Run all steps."""
        if self._document["runs"]["using"] != "composite":
            msg = "only composite actions are known here"
            raise ValueError(msg)
        for index, step in enumerate(self._document["runs"]["steps"]):
            if condition(step.get("if"), self._contexts, has_failed=self._status != 0):
                self._step(step, step.get("id", f"step-{index}"))
            else:
                self._contexts["steps"][step.get("id", "")] = {"outputs": _Lenient()}
        outputs = {
            name: interpolate(declared["value"], self._contexts)
            for name, declared in self._document.get("outputs", {}).items()
        }
        summary = self._summary.read_text("utf-8")
        return ActionResult(self._status, tuple(self._steps), outputs, summary)

    def _github(self) -> dict[str, str]:
        """Return the context: each GITHUB_* variable, and the token that no variable holds."""
        known = {
            name.removeprefix("GITHUB_").lower(): value
            for name, value in self._runner.env.items()
            if name.startswith("GITHUB_")
        }
        return {"token": "", "action_repository": "", **known}

    def _inputs(self, given: Mapping[str, str]) -> dict[str, str]:
        declared = self._document.get("inputs", {})
        unknown = set(given) - set(declared)
        missing = [
            name
            for name, each in declared.items()
            if each.get("required") and "default" not in each and name not in given
        ]
        if unknown or missing:
            msg = f"inputs that do not exist: {sorted(unknown)}; that are missing: {missing}"
            raise ValueError(msg)
        return {
            name: given.get(name, interpolate(each.get("default", ""), self._contexts))
            for name, each in declared.items()
        }

    def _step(self, step: Mapping[str, Any], name: str) -> None:
        if "uses" in step:
            done = self._use(step, name)
        elif step.get("shell") == "bash":
            done = self._bash(step, name)
        else:
            msg = f"a step that is neither bash nor another action: {step}"
            raise ValueError(msg)
        self._steps.append(done)
        self._status = self._status or done.status
        self._contexts["steps"][name] = {"outputs": _Lenient(done.outputs)}

    def _use(self, step: Mapping[str, Any], name: str) -> StepResult:
        action, _, version = step["uses"].partition("@")
        if not re.fullmatch(r"[0-9a-f]{40}", version):
            msg = f"{step['uses']} is not pinned by its commit"
            raise ValueError(msg)
        inputs = {key: interpolate(each, self._contexts) for key, each in step["with"].items()}
        return StepResult(name, 0, "", self._runner.emulated[action](inputs))

    def _bash(self, step: Mapping[str, Any], name: str) -> StepResult:
        script = self._files / "script.sh"
        script.write_text(interpolate(step["run"], self._contexts))
        commands = {key: self._files / key for key in ("ENV", "OUTPUT", "PATH")}
        for file in commands.values():
            file.write_text("")
        own = {key: interpolate(each, self._contexts) for key, each in step.get("env", {}).items()}
        env = {
            **self._env,
            "GITHUB_ACTION_PATH": str(self._runner.action),
            "GITHUB_WORKSPACE": str(self._runner.workspace),
            "GITHUB_STEP_SUMMARY": str(self._summary),
            "RUNNER_TEMP": str(self._runner.temp),
            "RUNNER_OS": "Linux",
            "RUNNER_ARCH": "X64",
            **{f"GITHUB_{key}": str(file) for key, file in commands.items()},
            **own,
        }
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", str(script)],
            cwd=self._runner.workspace,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        self._env |= _assignments(commands["ENV"].read_text("utf-8"))
        for folder in reversed(commands["PATH"].read_text("utf-8").splitlines()):
            self._env["PATH"] = f"{folder}:{self._env['PATH']}"
        outputs = _assignments(commands["OUTPUT"].read_text("utf-8"))
        return StepResult(name, done.returncode, done.stdout.decode(errors="replace"), outputs)


class _Lenient(dict[str, str]):
    """Outputs of a step: one that was not set is empty, as on GitHub."""

    def __contains__(self, _key: object) -> bool:
        return True

    def __missing__(self, _key: str) -> str:
        return ""


def _inherited() -> Mapping[str, str]:
    return {
        name: value
        for name, value in os.environ.items()
        if name in _PASSED or name.startswith(_PASSED_PREFIXES)
    }


def _assignments(text: str) -> dict[str, str]:
    """Return what a file of `name=value` and `name<<END` says."""
    found: dict[str, str] = {}
    lines = iter(text.splitlines())
    for line in lines:
        if heredoc := _HEREDOC.fullmatch(line):
            value = []
            for inner in lines:
                if inner == heredoc[2]:
                    break
                value.append(inner)
            found[heredoc[1]] = "\n".join(value)
        elif line:
            name, equals, value_text = line.partition("=")
            if not equals:
                msg = f"neither name=value nor name<<END: {line!r}"
                raise ValueError(msg)
            found[name] = value_text
    return found


class FolderCache:
    """Emulates `actions/cache`, `.../restore` and `.../save` with a folder.

    Attributes:
        folder: One folder per key.
        restored: Keys that were found, in order.
        saved: Keys that were written, in order.

    `actions/cache` saves at the end of the job: the test calls `save_pending`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.folder.mkdir(parents=True, exist_ok=True)
        self.restored: list[str] = []
        self.saved: list[str] = []
        self._pending: list[Mapping[str, str]] = []

    @property
    def emulations(self) -> dict[str, Emulation]:
        """What `CompositeRunner.emulated` takes."""
        return {
            "actions/cache": self._both,
            "actions/cache/restore": self._restore,
            "actions/cache/save": self._save,
        }

    def save_pending(self) -> None:
        """End the job."""
        for inputs in self._pending:
            self._save(inputs)
        self._pending.clear()

    def _both(self, inputs: Mapping[str, str]) -> Mapping[str, str]:
        found = self._restore(inputs)
        if found["cache-hit"] != "true":
            self._pending.append(inputs)
        return found

    def _restore(self, inputs: Mapping[str, str]) -> Mapping[str, str]:
        _check(inputs, {"path", "key", "restore-keys"})
        wanted = [inputs["key"], *inputs.get("restore-keys", "").split()]
        for key in wanted:
            found = [each for each in self._keys() if each.startswith(key)]
            if found:
                self.restored.append(found[-1])
                _copy(self.folder / _safe(found[-1]), Path(inputs["path"]).expanduser())
                is_exact = found[-1] == inputs["key"]
                return {"cache-hit": str(is_exact).lower(), "cache-matched-key": found[-1]}
        return {"cache-hit": "", "cache-matched-key": ""}

    def _save(self, inputs: Mapping[str, str]) -> Mapping[str, str]:
        _check(inputs, {"path", "key"} | ({"restore-keys"} & set(inputs)))
        source = Path(inputs["path"]).expanduser()
        if source.exists() and inputs["key"] not in self._keys():
            _copy(source, self.folder / _safe(inputs["key"]))
            self.saved.append(inputs["key"])
            with (self.folder / "keys").open("a", encoding="utf-8") as file:
                file.write(json.dumps(inputs["key"]) + "\n")
        return {}

    def _keys(self) -> list[str]:
        file = self.folder / "keys"
        lines = file.read_text("utf-8").splitlines() if file.exists() else []
        return [json.loads(line) for line in lines]


def _check(inputs: Mapping[str, str], allowed: set[str]) -> None:
    if not {"path", "key"} <= set(inputs) <= allowed:
        msg = f"inputs of actions/cache: {sorted(inputs)}"
        raise ValueError(msg)
    if "," in inputs["key"] or len(inputs["key"]) > 512 or not inputs["key"]:
        msg = f"no key of a cache: {inputs['key']!r}"
        raise ValueError(msg)


def _safe(key: str) -> str:
    return re.sub(r"[^\w.-]", "_", key)


def _copy(source: Path, target: Path) -> None:
    shutil.copytree(source, target, symlinks=True, dirs_exist_ok=True)
