"""The files of the repository agree with each other."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

import codspeed

ROOT = Path(__file__).parents[1]
MEMBERS = sorted(
    path.parent.relative_to(ROOT).as_posix()
    for pattern in ("core", "native", "plugins/*", "meta")
    for path in ROOT.glob(f"{pattern}/pyproject.toml")
)
CODE_MEMBERS = [member for member in MEMBERS if member != "meta"]


def toml(path: str) -> dict[str, Any]:
    return tomllib.loads((ROOT / path).read_text())


def project(member: str) -> dict[str, Any]:
    described: dict[str, Any] = toml(f"{member}/pyproject.toml")["project"]
    return described


def requirement_lines() -> list[str]:
    lines = (line.strip() for line in (ROOT / "requirements-dev.txt").read_text().splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def import_names() -> set[str]:
    return {
        path.parent.name
        for member in CODE_MEMBERS
        for path in (ROOT / member / "src").glob("*/__init__.py")
    }


def tracked_files() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    paths = (ROOT / name for name in listed.stdout.split("\0") if name)
    return [path for path in paths if path.is_file()]


@pytest.mark.parametrize("member", MEMBERS)
def test_every_distribution_has_the_version_of_core(member: str) -> None:
    assert project(member)["version"] == codspeed.__version__


@pytest.mark.parametrize("member", MEMBERS)
def test_no_distribution_can_be_uploaded_by_accident(member: str) -> None:
    assert "Private :: Do Not Upload" in project(member)["classifiers"]


@pytest.mark.parametrize("member", CODE_MEMBERS)
def test_every_package_is_marked_as_typed(member: str) -> None:
    packages = [path.parent for path in (ROOT / member / "src").glob("*/__init__.py")]

    assert len(packages) == 1
    assert (packages[0] / "py.typed").exists()


@pytest.mark.parametrize("member", [member for member in CODE_MEMBERS if member != "core"])
def test_plugins_accept_only_this_minor_version_of_core(member: str) -> None:
    major, minor, _patch = codspeed.__version__.split(".")
    wanted = f"codspeed-core>={major}.{minor},<{major}.{int(minor) + 1}"

    assert wanted in project(member)["dependencies"]


def test_meta_pins_every_sibling() -> None:
    siblings = [project(member) for member in CODE_MEMBERS]

    # A marker may follow: what needs Linux is left out elsewhere.
    pins = [line.partition(";")[0].strip() for line in project("meta")["dependencies"]]

    assert sorted(pins) == sorted(
        f"{sibling['name']}=={sibling['version']}" for sibling in siblings
    )


def test_meta_declares_every_script() -> None:
    scripts: dict[str, str] = {}
    for member in CODE_MEMBERS:
        scripts |= project(member).get("scripts", {})

    assert project("meta")["scripts"] == scripts


def test_the_development_environment_has_every_distribution() -> None:
    editable = [line.removeprefix("-e ./") for line in requirement_lines() if line[:3] == "-e "]

    assert sorted(editable) == MEMBERS


def test_pip_and_uv_install_the_same_tools() -> None:
    tools = [line for line in requirement_lines() if not line.startswith("-")]

    assert tools == sorted(tools)
    assert tools == toml("pyproject.toml")["dependency-groups"]["dev"]


def test_every_tool_and_dependency_is_pinned() -> None:
    constraints = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [line for line in constraints if line and not line.startswith("#")]
    wanted = {normal(line) for line in requirement_lines() if not line.startswith("-")}
    for member in CODE_MEMBERS:
        wanted |= {normal(line) for line in project(member)["dependencies"]}

    ours = {project(member)["name"] for member in CODE_MEMBERS}

    assert [pin for pin in pins if not re.fullmatch(r"[\w.-]+==[\w.]+", pin)] == []
    assert wanted - ours - {normal(pin) for pin in pins} == set()


def normal(requirement: str) -> str:
    name = re.split(r"[^\w.-]", requirement)[0]
    return re.sub(r"[-_.]+", "-", name).lower()


def test_the_import_contracts_cover_every_package() -> None:
    linter = toml("pyproject.toml")["tool"]["importlinter"]
    plugins = import_names() - {"codspeed", "codspeed_native"}
    independent = [c["modules"] for c in linter["contracts"] if c["type"] == "independence"]
    core = next(c for c in linter["contracts"] if c["name"] == "Core knows no plugin")

    assert set(linter["root_packages"]) == import_names()
    assert [set(modules) for modules in independent] == [plugins]
    assert set(core["forbidden_modules"]) == import_names() - {"codspeed"}


def test_uv_and_coverage_know_every_distribution() -> None:
    tools = toml("pyproject.toml")["tool"]

    assert set(tools["uv"]["sources"]) == {project(member)["name"] for member in MEMBERS}
    assert set(tools["coverage"]["run"]["source_pkgs"]) == import_names()


def test_the_menu_explains_every_target() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = re.findall(r"^([a-z]+):", makefile, re.MULTILINE)
    explained = re.findall(r"^([a-z]+):.* ## \S", makefile, re.MULTILINE)

    assert {"demo", "test", "lint", "fix", "soak", "clean"} <= set(targets)
    assert explained == targets


def test_ci_runs_what_a_person_runs() -> None:
    assert (ROOT / ".ci/run").read_text().splitlines()[1:] == ["set -eu", "make test"]


# Spelled in two parts, or this file would be the one that holds them.
UNWANTED = {
    "an index or registry of packages": r"pypi" r"\.org|python" r"hosted\.org|/simple/?\s*$",
    "pip's index options": r"--(extra-)?index" r"-url|--trusted" r"-host",
    "a path of one machine": r"/home/(?!runner/|user/)\w+/|/Users/\w+/|/root/" r"\.",
    "the path of this checkout": re.escape(f"{ROOT}/"),
}


@pytest.mark.parametrize("what", UNWANTED)
def test_no_file_holds_what_is_true_on_one_machine_only(what: str) -> None:
    pattern = re.compile(UNWANTED[what], re.MULTILINE)
    found = [
        f"{path.relative_to(ROOT)}: {match[0]}"
        for path in tracked_files()
        for match in pattern.finditer(path.read_bytes().decode(errors="replace"))
    ]

    assert found == []


def test_no_file_is_large() -> None:
    large = [path for path in tracked_files() if path.stat().st_size > 500_000]

    assert large == []
