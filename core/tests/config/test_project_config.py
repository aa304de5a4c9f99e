"""codspeed.yml: what is understood, and how what is not is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from codspeed.config.discovery import find
from codspeed.config.document import parse
from codspeed.config.project import ProjectConfig, check, load
from codspeed.config.schema import schema
from codspeed.errors import ConfigError
from codspeed.model import OptionSpec, OptionStyle

_PATH = Path("/project/codspeed.yml")
_PLUGIN = {
    "gc": OptionSpec(style=OptionStyle.FLAG),
    "unwinding": OptionSpec(choices=("fp", "dwarf")),
    "tags": OptionSpec(style=OptionStyle.LIST),
    "cache": OptionSpec(parse="path"),
}


def _read(text: str) -> ProjectConfig:
    return check(parse(text, _PATH, "project config"), _PLUGIN)


def test_the_example_of_the_reference() -> None:
    config = _read(
        """
options:
  working-directory: bench
  warmup-time: "0.2s"
  max-time: "1s"
benchmarks:
  - name: fast path
    exec: ./tool --fast "two words"
    options: { max-rounds: 20 }
  - entrypoint: pytest tests/ --codspeed
"""
    )
    first, second = config.targets

    assert config.working_directory() == Path("/project/bench")
    assert config.bounds() == {"warmup_time": "0.2s", "max_time": "1s"}
    assert (first.name, first.words) == ("fast path", ("./tool", "--fast", "two words"))
    assert first.bounds == {"max_rounds": 20}
    assert (second.words, second.entrypoint) == (None, "pytest tests/ --codspeed")


@pytest.mark.parametrize("text", ["", "# nothing\n", "options:\n", "benchmarks:\n", "{}"])
def test_an_empty_file_says_nothing(text: str) -> None:
    config = _read(text)

    assert (config.options, config.targets, config.warnings) == ({}, (), ())
    assert config.working_directory() == Path("/project")


@pytest.mark.parametrize(("value", "kept"), [("3", "3"), ("0.5", "0.5"), ("0", "0"), ("1s", "1s")])
def test_a_number_is_seconds(value: str, kept: str) -> None:
    assert _read(f"options:\n  max-time: {value}").bounds() == {"max_time": kept}


def test_options_of_plugins_are_read_by_their_types() -> None:
    config = _read("options: {gc: true, unwinding: fp, tags: [a, 1], cache: here}")

    values = {name: located.value for name, located in config.options.items()}
    assert values == {
        "gc": True,
        "unwinding": "fp",
        "tags": ("a", "1"),
        "cache": Path("/project/here"),
    }


def test_an_unknown_top_level_key_is_a_warning_with_the_nearest_name() -> None:
    [warning] = _read("\nbenchmark: []\n").warnings

    assert warning == "codspeed.yml:2: unknown key 'benchmark'; did you mean 'benchmarks'?"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("options:\n  max-tme: 1", "codspeed.yml:2: unknown key 'max-tme' in options"),
        ("benchmarks:\n- exec: a\n  nme: b", "codspeed.yml:3: unknown key 'nme' in benchmarks.0"),
        (
            "benchmarks:\n- exec: a\n  options:\n    gc: true",
            "codspeed.yml:4: unknown key 'gc' in benchmarks.0.options",
        ),
        (
            "benchmarks:\n- name: a",
            "codspeed.yml:2: a benchmark needs exactly one of 'exec' and 'entrypoint'",
        ),
        (
            "benchmarks:\n- {exec: a, entrypoint: b}",
            "codspeed.yml:2: a benchmark needs exactly one of 'exec' and 'entrypoint'",
        ),
        (
            "options:\n  max-rounds: '5'",
            "codspeed.yml:2: 'max-rounds' must be a whole number, but is text",
        ),
        (
            "options:\n  max-rounds: true",
            "codspeed.yml:2: 'max-rounds' must be a whole number, but is true or false",
        ),
        ("options:\n  max-rounds: -1", "codspeed.yml:2: 'max-rounds' can't be negative, but is -1"),
        (
            "options:\n  max-time: -1",
            "codspeed.yml:2: 'max-time' must be a time such as \"1.5s\" or a number of seconds",
        ),
        (
            "options: {min-time: 1, max-rounds: 3}",
            "codspeed.yml:1: min_time and max_rounds can't be used together in the root options",
        ),
        (
            "options: {max-time: 1, min-rounds: 3}",
            "codspeed.yml:1: max_time and min_rounds can't be used together in the root options",
        ),
        ("options: []", "codspeed.yml:1: options must be a mapping of names, not a list"),
        ("benchmarks: {}", "codspeed.yml:1: benchmarks must be a list, but is a mapping"),
        ("- 1", "codspeed.yml:1: codspeed.yml must be a mapping of names, not a list"),
        ("a: 1\na: 2", "codspeed.yml:2: key 'a' stands here twice"),
        ("options:\n  unwinding: xp", "codspeed.yml:2: 'unwinding' can be fp, dwarf, but is 'xp'"),
        (
            "benchmarks:\n- exec: 'a \"b'",
            'codspeed.yml:2: Failed to parse command: a "b (No closing quotation)',
        ),
    ],
)
def test_what_is_not_understood_is_an_error_with_its_line(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        _read(text)

    assert caught.value.problem == message


def test_a_number_where_text_belongs_says_to_quote_it() -> None:
    with pytest.raises(ConfigError) as caught:
        _read("benchmarks:\n- {exec: a, name: 3}")

    assert caught.value.hint == "put it in quotes"


def test_the_nearest_key_is_named() -> None:
    with pytest.raises(ConfigError) as caught:
        _read("options:\n  max-tme: 1")

    assert caught.value.hint == "did you mean 'max-time'?"


def test_broken_yaml_names_file_and_line() -> None:
    with pytest.raises(ConfigError) as caught:
        _read("options:\n  a: b: c")

    assert caught.value.problem.startswith(f"Failed to parse CodSpeed project config at {_PATH}:")
    assert "line 2" in caught.value.problem


def test_a_python_object_in_yaml_is_refused() -> None:
    with pytest.raises(ConfigError, match="Failed to parse"):
        _read("a: !!python/object/apply:os.system [true]")


def test_aliases_that_multiply_are_refused() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    with pytest.raises(ConfigError, match="too many values"):
        _read("\n".join(lines))


def test_merged_keys_have_the_line_of_what_is_around_them() -> None:
    config = _read("base: &b {max-rounds: 3}\noptions:\n  <<: *b\n")

    assert config.options["max_rounds"].value == 3
    assert config.options["max_rounds"].line == 2


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Failed to load config from"):
        load(tmp_path / "absent.yml", {})


class TestDiscovery:
    """Which file is found."""

    def test_the_walk_goes_up_to_the_git_root_and_not_above(self, tmp_path: Path) -> None:
        inner = tmp_path / "repository" / "a" / "b"
        inner.mkdir(parents=True)
        (tmp_path / "repository" / ".git").mkdir()
        (tmp_path / "codspeed.yml").touch()

        assert find(inner) is None
        (tmp_path / "repository" / "codspeed.yml").touch()
        assert find(inner) == tmp_path / "repository" / "codspeed.yml"

    def test_in_the_git_root_nothing_above_counts(self, tmp_path: Path) -> None:
        (tmp_path / "codspeed.yml").touch()
        (tmp_path / "repository").mkdir()
        (tmp_path / "repository" / ".git").touch()  # a work tree has a file

        assert find(tmp_path / "repository") is None

    def test_without_git_only_the_folder_itself_counts(self, tmp_path: Path) -> None:
        (tmp_path / "codspeed.yml").touch()
        (tmp_path / "below").mkdir()

        assert find(tmp_path / "below") is None
        assert find(tmp_path) == tmp_path / "codspeed.yml"

    def test_names_have_an_order(self, tmp_path: Path) -> None:
        for name in (".codspeed.yml", ".codspeed.yaml", "codspeed.yml", "codspeed.yaml"):
            (tmp_path / name).touch()
            found = find(tmp_path)
            assert found is not None
            assert found.name == name


def test_the_schema_knows_every_key_that_is_read() -> None:
    options = schema(_PLUGIN)["properties"]["options"]["properties"]

    assert sorted(options) == [
        "cache",
        "gc",
        "max-rounds",
        "max-time",
        "min-rounds",
        "min-time",
        "tags",
        "unwinding",
        "warmup-time",
        "working-directory",
    ]
    assert options["gc"] == {"type": "boolean"}
    assert options["unwinding"] == {"type": "string", "enum": ["fp", "dwarf"]}
