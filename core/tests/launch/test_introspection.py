from __future__ import annotations

import os
import signal
import stat
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from codspeed.launch.introspection import introspected

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

pytestmark = pytest.mark.process

# Plays a node: `plugin.js` imports a plugin of CodSpeed, everything else does not.
NODE = """#!/bin/sh
if [ "$1" = plugin.js ] && [ -n "${__CODSPEED_NODE_CORE_INTROSPECTION_PATH__:-}" ]; then
    printf '%s' "$FLAGS" >"$__CODSPEED_NODE_CORE_INTROSPECTION_PATH__"
    exit 0
fi
case $1 in
    fail.js) exit 7 ;;
    cat.js) exec cat ;;
    sleep.js) echo $$; exec sleep 60 ;;
esac
printf '<%s>' "$@"
"""
# Plays go and codspeed-go-runner: says who it is and what it was given.
ECHO = """#!/bin/sh
printf '%s' "${0##*/}"
printf '<%s>' "$@"
"""


def executable(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    path.chmod(0o755)


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """Return a folder of programs, whose name is as bad as a name in PATH can be."""
    folder = tmp_path / 'to \'ols "and" $x'
    executable(folder / "node", NODE)
    executable(folder / "go", ECHO)
    return folder


@pytest.fixture
def environment(tools: Path, tmp_path: Path) -> Iterator[dict[str, str]]:
    temp = tmp_path / "temp 'folder"
    temp.mkdir()
    with introspected({"PATH": f"{tools}:/usr/bin:/bin"}, temp=temp) as wrapped:
        yield wrapped


def run(
    environment: Mapping[str, str], *words: str, stdin: str = "", **variables: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ("/usr/bin/env", *words),
        env={**environment, **variables},
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
    )


def test_what_needs_no_flags_is_run_once_with_its_own_words(environment: dict[str, str]) -> None:
    done = run(environment, "node", "-e", "two words", 'it\'s "quoted"', "")

    assert done.stdout == '<-e><two words><it\'s "quoted"><>'


def test_what_asks_for_flags_is_run_again_with_them_in_front(environment: dict[str, str]) -> None:
    flags = r'{"flags":["--one","--dir=/a \"b\" \\ [c] $(d)"]}'

    done = run(environment, "node", "plugin.js", "a b", "", FLAGS=flags)

    assert done.stdout == r'<--one><--dir=/a "b" \ [c] $(d)><plugin.js><a b><>'


@pytest.mark.parametrize("flags", ['{"flags":[]}', '{"flags": [ ] }\n'])
def test_an_empty_list_of_flags_is_one(environment: dict[str, str], flags: str) -> None:
    assert run(environment, "node", "plugin.js", FLAGS=flags).stdout == "<plugin.js>"


def test_flags_that_cannot_be_read_are_shown(environment: dict[str, str]) -> None:
    done = run(environment, "node", "plugin.js", FLAGS=r'{"flags":["\u0041"]}')

    assert done.returncode == 1
    assert done.stderr == 'node: V8 flags that cannot be read: {"flags":["\\u0041"]}\n'


def test_the_exit_code_is_nodes(environment: dict[str, str]) -> None:
    assert run(environment, "node", "fail.js").returncode == 7


def test_standard_input_reaches_node(environment: dict[str, str]) -> None:
    assert run(environment, "node", "cat.js", stdin="hello").stdout == "hello"


def test_a_signal_to_the_wrapper_ends_node(environment: dict[str, str]) -> None:
    command = ("/usr/bin/env", "node", "sleep.js")
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as wrapper:
        assert wrapper.stdout is not None
        node = int(wrapper.stdout.readline())
        os.kill(wrapper.pid, signal.SIGTERM)
        status = wrapper.wait()

    assert status == 128 + signal.SIGTERM
    with pytest.raises(ProcessLookupError):
        os.kill(node, 0)


def test_node_called_by_node_is_introspected_itself(tools: Path, tmp_path: Path) -> None:
    """One introspected run inside another, as when codspeed is called by what it measures."""
    with (
        introspected({"PATH": f"{tools}:/usr/bin:/bin"}, temp=tmp_path) as outer,
        introspected(outer, temp=tmp_path) as inner,
    ):
        done = run(inner, "node", "plugin.js", FLAGS='{"flags":["--once"]}')

    assert done.stdout == "<--once><plugin.js>"


@pytest.mark.parametrize("mode", ["walltime", "instrumentation", "memory", "somebody's own"])
@pytest.mark.parametrize("words", ["build ./...", "vet", "version", "test ./...", "test -run X"])
def test_go_works_in_every_mode(environment: dict[str, str], mode: str, words: str) -> None:
    done = run(environment, "go", *words.split(), CODSPEED_RUNNER_MODE=mode)

    assert done.stdout == "go" + "".join(f"<{word}>" for word in words.split())


@pytest.mark.parametrize("option", ["-bench=.", "--bench=.", "-bench"])
@pytest.mark.parametrize(
    ("mode", "name"), [("instrumentation", "simulation"), ("memory", "memory")]
)
def test_go_benchmarks_that_cannot_be_measured_say_why(
    environment: dict[str, str], mode: str, name: str, option: str
) -> None:
    done = run(environment, "go", "test", option, "./...", CODSPEED_RUNNER_MODE=mode)

    assert (done.returncode, done.stdout) == (1, "")
    assert f"can't be measured in mode {name}" in done.stderr
    assert "--mode walltime" in done.stderr


def test_an_argument_of_the_test_itself_is_no_bench(environment: dict[str, str]) -> None:
    done = run(environment, "go", "test", "-args", "-bench=.", CODSPEED_RUNNER_MODE="memory")

    assert done.stdout == "go<test><-args><-bench=.>"


def test_go_benchmarks_in_a_mode_that_measures_whole_commands_run(
    environment: dict[str, str],
) -> None:
    done = run(environment, "go", "test", "-bench=.", CODSPEED_RUNNER_MODE="rusage")

    assert done.stdout == "go<test><-bench=.>"


def test_go_test_goes_to_the_go_runner_which_finds_the_real_go(
    environment: dict[str, str], tools: Path
) -> None:
    executable(tools / "codspeed-go-runner", '#!/bin/sh\nprintf "runner:"\nexec go "$@"\n')

    done = run(environment, "go", "test", "-bench=.", CODSPEED_RUNNER_MODE="walltime")

    assert done.stdout == "runner:go<test><-bench=.>"


def test_without_the_go_runner_the_benchmarks_run_and_the_loss_is_named(
    environment: dict[str, str],
) -> None:
    done = run(
        environment,
        *("go", "test", "-bench=."),
        CODSPEED_RUNNER_MODE="walltime",
        CODSPEED_GO_RUNNER_VERSION="0.0.0",  # has no known checksum, so nothing is fetched
    )

    assert done.stdout == "go<test><-bench=.>"
    assert "the checksum of codspeed-go-runner 0.0.0 is not known here" in done.stderr
    assert "does not reach codspeed" in done.stderr


def test_go_run_keeps_symbols_and_program_for_the_profile(environment: dict[str, str]) -> None:
    done = run(environment, "go", "run", ".", "a b", CODSPEED_RUNNER_MODE="walltime")

    assert done.stdout == "go<run><-work><-ldflags=-s=false -w=false><.><a b>"


def test_only_what_is_there_is_wrapped(tmp_path: Path) -> None:
    executable(tmp_path / "bin" / "go", ECHO)

    with introspected({"PATH": str(tmp_path / "bin")}, temp=tmp_path) as environment:
        folder = Path(environment["PATH"].split(":")[0])

        assert [path.name for path in folder.iterdir()] == ["go"]


def test_with_nothing_to_wrap_path_stays_as_it_is(tmp_path: Path) -> None:
    with introspected({"PATH": str(tmp_path)}, temp=tmp_path) as environment:
        assert environment == {"PATH": str(tmp_path)}


def test_the_folder_is_private_and_gone_afterwards(tools: Path, tmp_path: Path) -> None:
    with introspected({"PATH": str(tools)}, temp=tmp_path) as environment:
        folder = Path(environment["PATH"].split(":")[0])
        mode = stat.S_IMODE(folder.stat().st_mode)

    assert mode == 0o700
    assert not folder.exists()


def test_two_runs_do_not_share_a_folder_but_its_length(tools: Path, tmp_path: Path) -> None:
    given = {"PATH": str(tools)}
    with introspected(given, temp=tmp_path) as one, introspected(given, temp=tmp_path) as other:
        assert one["PATH"] != other["PATH"]
        assert len(one["PATH"]) == len(other["PATH"])
