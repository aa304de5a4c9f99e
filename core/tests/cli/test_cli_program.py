"""The program as a whole, in this process, with a plugin of a stranger and a fake orchestrator."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from codspeed.cli import main
from codspeed.errors import BundleError, ToolError, UploadError
from codspeed.model import Entrypoint, ExecTarget, RunReport, RunRequest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_OURS = "codspeed-walltime,codspeed-report,codspeed-exec-harness,codspeed-valgrind,codspeed-memory"

_MODULE = """
import attrs, click
from codspeed.model import OptionStyle, Support, option
from codspeed.protocols import *

@attrs.frozen
class Options:
    speed: int = option(3, parse="int", env="FAKE_SPEED", help="How fast.")
    loud: bool = option(False, style=OptionStyle.OPTIONAL_BOOL)
    shelf: str = option("", verbs=("polish", "run"))
    town: str = option("", env="FAKE_TOWN", is_global=True)

@attrs.frozen
class Lens:
    colour: str = option("", env="FAKE_COLOUR")

@attrs.frozen
class Bounds:
    max_time: str | None = option(None, parse="duration")

def build(app):
    @click.command(help="Polish results.")
    @click.option("--shine", is_flag=True)
    @click.argument("words", nargs=-1)
    def polish(shine, words):
        app.write(f"{shine} {words} {app.option('shelf')} {app.option('profile')}")
        if app.option("town"):
            app.write(app.option("town"))
    return polish

executor = ExecutorDescriptor(
    name="fake", label="Fake", mode="fakery", aliases=("fk",), load=lambda: ExecutorDefaults,
    options=Options,
)
harness = HarnessDescriptor(name="fake-harness", label="H", load=lambda: object, options=Bounds)
lens = InstrumentDescriptor(name="lens", label="L", load=lambda: object, options=Lens)
verb = CommandDescriptor(name="polish", label="P", load=lambda: build, help="Polish results")
bad = 1 / 0 if False else None
"""

_ENTRY_POINTS = """
[codspeed.executors]
fake = fake_cli_plugin:executor
broken = fake_cli_missing:executor
[codspeed.instruments]
lens = fake_cli_plugin:lens
[codspeed.harnesses]
fake-harness = fake_cli_plugin:harness
[codspeed.commands]
polish = fake_cli_plugin:verb
"""


@pytest.fixture(autouse=True)
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Install a distribution, switch ours off, start in an empty folder and environment."""
    site = tmp_path / "site"
    metadata = site / "acme_fake-2.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-fake\nVersion: 2.0\n")
    (metadata / "entry_points.txt").write_text(_ENTRY_POINTS)
    (site / "fake_cli_plugin.py").write_text(_MODULE)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    for name in list(os.environ):
        if name.startswith(("CODSPEED", "CI", "GITHUB", "GITLAB")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("CODSPEED_DISABLE_PLUGINS", _OURS)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "runtime"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.syspath_prepend(str(site))
    yield
    sys.modules.pop("fake_cli_plugin", None)


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> list[RunRequest]:
    """Return the requests that reached the orchestrator, which measures nothing."""
    seen: list[RunRequest] = []

    def run(request: RunRequest, **_what: Any) -> RunReport:
        seen.append(request)
        return RunReport(None, (), 0)

    monkeypatch.setattr("codspeed.orchestrate.run", run)
    return seen


Told = pytest.CaptureFixture[str]


def _fails(capsys: Told, *argv: str) -> str:
    """Return what standard error says of a command line that must end with 2."""
    code = main(list(argv))
    captured = capsys.readouterr()

    assert (code, captured.out) == (2, "")
    return captured.err


# --- version and help -----------------------------------------------------------------------------


@pytest.mark.parametrize("argv", [["--version"], ["-V"], ["-V", "run"]])
def test_version(capsys: Told, argv: list[str]) -> None:
    assert main(argv) == 0
    assert capsys.readouterr().out == "codspeed 0.1.0\n"


@pytest.mark.process
@pytest.mark.parametrize(
    ("argv", "forbidden"),
    [
        (["--version"], {"click", "attr", "importlib.metadata", "argparse"}),
        (["--help"], {"attr", "stevedore", "rich", "yaml", "cattrs", "codspeed.model"}),
    ],
)
def test_what_is_not_imported_to_answer(argv: list[str], forbidden: set[str]) -> None:
    code = (
        "import sys; from codspeed.cli import main; main(sys.argv[1:]); "
        "print('\\n'.join(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *argv], check=True, capture_output=True, text=True
    )

    assert forbidden & set(done.stderr.split()) == set()


def test_help_lists_verbs_of_plugins_without_importing_them(capsys: Told) -> None:
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out

    assert "polish      (from acme-fake)" in shown
    assert "fake_cli_plugin" not in sys.modules


@pytest.mark.parametrize(
    "argv", [["run", "--help"], ["r", "-h"], ["help", "run"], ["run", "a", "-h"]]
)
def test_help_of_a_verb_shows_options_of_plugins(capsys: Told, argv: list[str]) -> None:
    assert main(argv) == 0
    shown = capsys.readouterr().out

    assert shown.startswith("Usage: codspeed r")
    assert "--speed INT" in shown
    assert "FAKE_SPEED" in shown


def test_help_behind_the_dashes_belongs_to_the_command(requests: list[RunRequest]) -> None:
    assert main(["run", "--", "pytest", "--help"]) in {0, 2}
    assert main(["run", "-m", "fk", "--", "pytest", "--help"]) == 0
    assert requests[-1].entrypoints == (Entrypoint(("pytest", "--help")),)


# --- run and exec ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "argv",
    [
        ["--executor", "fake", "run", "--", "a", "b"],
        ["run", "--executor", "fake", "--", "a", "b"],
        ["run", "--mode", "fakery", "--", "a", "b"],
        ["r", "-m", "fk", "a", "b"],
        ["run", "a", "b", "--executor=acme-fake:fake"],
    ],
)
def test_ways_to_say_the_same(requests: list[RunRequest], argv: list[str]) -> None:
    assert main(argv) == 0
    assert requests[0].entrypoints == (Entrypoint(("a", "b")),)
    assert [name.rpartition(":")[2] for name in requests[0].executors] == ["fake"]


def test_options_of_plugins_come_from_flag_environment_and_file(
    requests: list[RunRequest], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "work" / "codspeed.yml").write_text("options: {speed: 7, loud: true}\n")
    main(["run", "-m", "fk", "x"])
    main(["run", "-m", "fk", "x", "--loud=false", "--speed", "8"])
    monkeypatch.setenv("FAKE_SPEED", "9")
    main(["run", "-m", "fk", "x"])

    assert [request.plugin_options for request in requests] == [
        {"speed": 7, "loud": True},
        {"speed": 8, "loud": False},
        {"speed": 9, "loud": True},
    ]


def test_exec_takes_words_verbatim_and_bounds_from_flag_and_file(
    requests: list[RunRequest], tmp_path: Path
) -> None:
    (tmp_path / "work" / "codspeed.yml").write_text("options: {max-time: 1}\n")
    main(["exec", "-m", "fk", "--name", "nap", "--", "sh", "-c", "echo a b"])
    main(["x", "-m", "fk", "--max-time", "2s", "--", "sh"])

    assert requests[0].targets == (ExecTarget(("sh", "-c", "echo a b"), "nap", {"max_time": "1"}),)
    assert requests[0].plugin_options == {}
    assert requests[1].targets[0].bounds == {"max_time": "2s"}


@pytest.mark.parametrize(("words", "is_warned"), [([], True), (["--instruments", "lens"], False)])
def test_an_option_of_an_instrument_without_it_is_a_warning(
    requests: list[RunRequest],
    capsys: Told,
    words: list[str],
    is_warned: bool,  # noqa: FBT001 - a row
) -> None:
    assert main(["run", "-m", "fk", "--colour", "red", *words, "true"]) == 0
    told = "--colour has no effect without --instruments lens" in capsys.readouterr().err

    assert told == is_warned
    assert len(requests) == 1


def test_run_without_a_command_runs_what_is_configured(
    requests: list[RunRequest], tmp_path: Path
) -> None:
    (tmp_path / "work" / "codspeed.yml").write_text("benchmarks: [{entrypoint: make bench}]\n")

    assert main(["run", "-m", "fk"]) == 0
    assert requests[0].entrypoints == (Entrypoint("make bench", tmp_path / "work"),)


def test_run_with_nothing_to_run(capsys: Told) -> None:
    told = _fails(capsys, "run", "-m", "fk")

    assert "✗ No command provided and no targets defined in codspeed.yaml" in told


def test_options_of_the_command_need_dashes(capsys: Told) -> None:
    told = _fails(capsys, "run", "pytest", "--codspeed")

    assert "unexpected option '--codspeed'" in told
    assert "codspeed run -- COMMAND" in told


def test_a_misspelt_option_names_the_nearest(capsys: Told) -> None:
    assert "did you mean '--speed'?" in _fails(capsys, "run", "--sped", "3", "x")


def test_bounds_belong_to_exec(capsys: Told) -> None:
    assert "--min-time" in _fails(capsys, "run", "--min-time", "3", "x")


def test_exec_needs_a_command(capsys: Told) -> None:
    assert "missing argument COMMAND" in _fails(capsys, "exec", "-m", "fk")


def test_a_profile_that_does_not_exist_stops_a_run(capsys: Told) -> None:
    told = _fails(capsys, "--profile", "staging", "run", "-m", "fk", "x")

    assert "codspeed profile set staging" in told


def test_a_boolean_environment_variable_is_exact(
    capsys: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CODSPEED_SKIP_UPLOAD", "1")

    assert "must be exactly 'true' or 'false'" in _fails(capsys, "run", "-m", "fk", "x")


def test_a_broken_plugin_is_clear_when_it_is_selected(capsys: Told) -> None:
    told = _fails(capsys, "run", "--executor", "broken", "x")

    assert "executor 'broken' of acme-fake 2.0 can't be used (import error)" in told
    assert "No module named 'fake_cli_missing'" in told


def test_on_windows_a_run_is_refused(capsys: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("codspeed.environment.system.sys.platform", "win32", raising=False)
    monkeypatch.setattr("codspeed.environment.system._release", lambda *_: ("", "11"))

    assert "can't be run on Windows" in _fails(capsys, "run", "-m", "fk", "x")


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (BundleError("half"), 1),
        (UploadError("away"), 8),
        (KeyboardInterrupt(), 130),
        (RuntimeError("oops"), 1),
    ],
)
def test_what_is_raised_becomes_an_exit_code(
    capsys: Told, monkeypatch: pytest.MonkeyPatch, failure: BaseException, code: int
) -> None:
    def run(*_args: Any, **_what: Any) -> RunReport:
        raise failure

    monkeypatch.setattr("codspeed.orchestrate.run", run)

    assert main(["run", "-m", "fk", "x"]) == code
    assert "Traceback" not in capsys.readouterr().err


def test_a_bug_shows_its_traceback_only_at_debug(
    capsys: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CODSPEED_LOG", "debug")
    monkeypatch.setattr("codspeed.orchestrate.run", lambda *_a, **_w: 1 / 0)

    assert main(["run", "-m", "fk", "x"]) == 1
    assert "Traceback" in capsys.readouterr().err


# --- verbs ----------------------------------------------------------------------------------------


def test_no_verb(capsys: Told) -> None:
    assert "no command given" in _fails(capsys)


def test_an_unknown_verb_names_the_nearest(capsys: Told) -> None:
    assert "did you mean `codspeed plugins`?" in _fails(capsys, "plugin")


def test_a_verb_of_a_plugin_gets_its_options_and_the_global_ones(capsys: Told) -> None:
    assert main(["polish", "--shelf", "high", "--profile", "p", "--shine", "a", "b"]) == 0
    assert capsys.readouterr().out == "True ('a', 'b') high p\n"


@pytest.mark.parametrize(
    "line",
    ["--town x run -- true", "run --town x -- true", "run --town=x -- true", "--town=x r -- true"],
)
def test_global_options_of_plugins_stand_before_or_after_a_verb(
    requests: list[RunRequest], monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    monkeypatch.setenv("FAKE_TOWN", "not this one")

    assert main(["--executor", "fake", *line.split()]) == 0
    assert requests[0].plugin_options["town"] == "x"


def test_a_variable_stands_in_for_a_global_option_of_a_plugin(
    requests: list[RunRequest], monkeypatch: pytest.MonkeyPatch, capsys: Told
) -> None:
    monkeypatch.setenv("FAKE_TOWN", "y")

    assert main(["run", "-m", "fk", "true"]) == 0
    assert main(["polish"]) == 0
    assert requests[0].plugin_options["town"] == "y"
    assert capsys.readouterr().out.endswith("\ny\n")


def test_every_verb_takes_global_options_of_plugins(capsys: Told) -> None:
    assert main(["--town", "x", "polish", "word"]) == 0
    assert main(["polish", "--town", "z"]) == 0
    assert main(["show", "--town", "x"]) == 0
    assert capsys.readouterr().out.splitlines()[:4] == [
        "False ('word',)  None",
        "x",
        "False ()  None",
        "z",
    ]
    assert "needs a value" in _fails(capsys, "polish", "--town")


def test_help_of_a_plugin_s_verb_shows_the_options_that_core_reads(capsys: Told) -> None:
    assert main(["polish", "--help"]) == 0
    shown = capsys.readouterr().out

    assert "--shine" in shown
    assert "--shelf" in shown


def test_plugins_list_as_json(capsys: Told) -> None:
    assert main(["plugins", "list", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    states = {plugin["name"]: plugin["state"] for plugin in document["plugins"]}

    assert document["schema"] == "codspeed.plugins/1"
    assert states["fake"] == "ok"
    assert states["broken"] == "import error"
    assert states.get("walltime", "disabled") == "disabled"


def test_plugins_show_and_its_unknown(capsys: Told) -> None:
    assert main(["plugins", "show", "acme-fake:fake"]) == 0
    assert "options: ['--speed', '--loud', '--shelf', '--town']" in capsys.readouterr().out
    assert "did you mean 'fake'?" in _fails(capsys, "plugins", "show", "fakee")


def test_plugins_doctor_fails_if_something_is_broken(capsys: Told) -> None:
    assert main(["plugins", "doctor"]) == 1
    assert "✗ executor 'broken' of acme-fake 2.0: import error" in capsys.readouterr().out


def test_config_show_says_where_values_come_from(
    capsys: Told, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "work" / "codspeed.yml").write_text("options:\n  loud: true\n")
    monkeypatch.setenv("FAKE_SPEED", "9")

    assert main(["config", "show", "--origin", "-m", "fk"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert "mode: fk  # flag" in shown
    assert "speed: 9  # environment variable FAKE_SPEED" in shown
    assert "loud: True  # codspeed.yml:2" in shown
    assert "compat: None  # default" in shown


def test_config_schema_knows_the_plugin(capsys: Told) -> None:
    assert main(["config", "schema"]) == 0
    options = json.loads(capsys.readouterr().out)["properties"]["options"]["properties"]

    assert options["speed"] == {"type": "integer", "minimum": 0, "description": "How fast."}


def test_a_configuration_error_names_the_line(capsys: Told, tmp_path: Path) -> None:
    (tmp_path / "work" / "codspeed.yml").write_text("options:\n  sped: 1\n")
    told = _fails(capsys, "run", "-m", "fk", "x")

    assert "codspeed.yml:2: unknown key 'sped' in options" in told
    assert "did you mean 'speed'?" in told


def test_use_and_show(capsys: Told, requests: list[RunRequest]) -> None:
    assert main(["show"]) == 0
    assert "No mode set for this shell session" in capsys.readouterr().err
    assert main(["use", "fakery"]) == 0
    assert capsys.readouterr().err == ""
    assert main(["show"]) == 0
    assert "Fakery" in capsys.readouterr().err
    assert main(["run", "x"]) == 0
    assert requests[0].executors == ("fake",)


def test_use_of_an_unknown_mode(capsys: Told) -> None:
    assert "no mode 'nope'" in _fails(capsys, "use", "nope")


def test_profiles(capsys: Told) -> None:
    assert main(["profile", "set", "staging", "--api-url", "https://x"]) == 0
    assert main(["profile", "use", "staging"]) == 0
    capsys.readouterr()
    assert main(["profile", "list"]) == 0
    assert capsys.readouterr().out == "Profiles\n  default\n* staging\n"
    assert main(["profile", "show"]) == 0
    assert "API URL: https://x" in capsys.readouterr().out


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(capfd: pytest.CaptureFixture[str], shell: str) -> None:
    assert main(["completion", shell]) == 0
    assert "_CODSPEED_COMPLETE" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("codspeed pol", "polish"),
        ("codspeed run --spe", "--speed"),
        ("codspeed run --compat na", "native"),
        ("codspeed plugins do", "doctor"),
    ],
)
def test_the_shell_completes(
    capsys: Told, monkeypatch: pytest.MonkeyPatch, words: str, expected: str
) -> None:
    monkeypatch.setenv("_CODSPEED_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(len(words.split()) - 1))
    main([])

    assert expected in capsys.readouterr().out


def test_setup_names_all_executors(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, ...]] = []

    def setup(executors: tuple[str, ...], **_what: Any) -> list[ToolError]:
        seen.append(executors)
        return [] if len(seen) < 3 else [ToolError("no compiler")]

    monkeypatch.setattr("codspeed.orchestrate.setup", setup)

    assert main(["setup"]) == 0
    assert main(["setup", "-m", "fk"]) == 0
    assert main(["setup"]) == 1
    assert seen == [("fake",)] * 3


@pytest.mark.parametrize("words", [["setup", "status"], ["setup", "-m", "fk", "status"]])
def test_setup_status_shows_tools(capsys: Told, words: list[str]) -> None:
    assert main(words) == 0
    assert capsys.readouterr().out == "Tools\n  ✓ fake executor: No tool to install\n"


def test_setup_takes_no_other_word(capsys: Told) -> None:
    assert "unexpected argument 'stats'" in _fails(capsys, "setup", "stats")


def test_status_shows_executors_and_system(capsys: Told) -> None:
    assert main(["status"]) == 0
    shown = capsys.readouterr().out

    assert "Tools\n  ✗ broken executor: import error" in shown
    assert "  ✓ fake executor: No tool to install\n\nSystem\n  codspeed 0.1.0\n" in shown


def test_upload_hands_over_what_was_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seen: dict[str, Any] = {}

    def upload(path: Path, **what: Any) -> RunReport:
        seen.update(what, path=path)
        return RunReport(None, (), 8)

    monkeypatch.setattr("codspeed.orchestrate.upload", upload)

    assert main(["upload", "b", "--uploader", "fake"]) == 8
    assert (seen["path"], seen["uploaders"]) == (tmp_path / "work" / "b", ("fake",))


def test_nobody_reads_our_output(monkeypatch: pytest.MonkeyPatch) -> None:
    source = "import sys; from codspeed.cli import main; sys.exit(main(['config', 'schema']))"
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-c", source], check=False, stdout=write, stderr=subprocess.PIPE, text=True
    )
    os.close(write)

    assert (done.returncode, done.stderr) == (1, "")
