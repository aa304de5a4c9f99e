from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from codspeed.environment import read_system
from codspeed.environment.system import parse_assignments

if TYPE_CHECKING:
    from pathlib import Path

DEBIAN = """\
PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"
NAME="Debian GNU/Linux"
VERSION_ID="12"
ID=debian
# a comment
HOME_URL="https://www.debian.org/"
"""


@pytest.mark.parametrize(
    ("line", "value"),
    [
        pytest.param("ID=fedora", "fedora", id="bare"),
        pytest.param('ID="fedora"', "fedora", id="double quotes"),
        pytest.param("ID='fedora'", "fedora", id="single quotes"),
        pytest.param("  ID=fedora  ", "fedora", id="blanks around"),
        pytest.param('ID="a \\"b\\" \\$c"', 'a "b" $c', id="escapes"),
        pytest.param("ID=", "", id="empty"),
        pytest.param('ID="', '"', id="lonely quote"),
        pytest.param("ID=a=b", "a=b", id="equals in the value"),
    ],
)
def test_os_release_values_are_unquoted(line: str, value: str) -> None:
    assert parse_assignments(line) == {"ID": value}


@pytest.mark.parametrize("junk", ["", "\0\0", "no equals sign", "=value", "# ID=comment", "a b=c"])
def test_lines_of_os_release_that_assign_nothing_are_skipped(junk: str) -> None:
    assert parse_assignments(f"{junk}\nID=x\n") == {"ID": "x"}


@pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's release files")
class TestRelease:
    def test_os_release_is_read(self, tmp_path: Path) -> None:
        (tmp_path / "etc").mkdir()
        (tmp_path / "etc/os-release").write_text(DEBIAN)

        system = read_system({}, root=tmp_path)

        assert (system.os, system.distribution, system.version) == ("linux", "debian", "12")

    def test_the_vendor_copy_stands_in_for_a_missing_one(self, tmp_path: Path) -> None:
        (tmp_path / "usr/lib").mkdir(parents=True)
        (tmp_path / "usr/lib/os-release").write_text(DEBIAN)

        assert read_system({}, root=tmp_path).distribution == "debian"

    def test_lsb_release_gives_the_version_where_os_release_has_none(self, tmp_path: Path) -> None:
        (tmp_path / "etc").mkdir()
        (tmp_path / "etc/os-release").write_text("ID=mint\n")
        (tmp_path / "etc/lsb-release").write_text("DISTRIB_ID=Mint\nDISTRIB_RELEASE=21.3\n")

        assert read_system({}, root=tmp_path).version == "21.3"

    def test_a_rolling_distribution_has_no_version(self, tmp_path: Path) -> None:
        (tmp_path / "etc").mkdir()
        (tmp_path / "etc/os-release").write_text("ID=arch\nBUILD_ID=rolling\n")

        assert read_system({}, root=tmp_path).version == ""

    def test_without_any_file_the_distribution_is_linux(self, tmp_path: Path) -> None:
        system = read_system({}, root=tmp_path)

        assert (system.distribution, system.version) == ("linux", "")


def test_the_environment_is_the_one_given() -> None:
    assert read_system({"A": "1"}).env == {"A": "1"}


def test_the_temporary_folder_follows_the_environment(tmp_path: Path) -> None:
    assert read_system({"TMPDIR": str(tmp_path)}).temp == tmp_path


def test_a_temporary_folder_that_does_not_exist_is_passed_over(tmp_path: Path) -> None:
    assert read_system({"TMPDIR": str(tmp_path / "absent")}).temp.is_dir()


def test_the_environment_stays_out_of_messages() -> None:
    assert "hunter2" not in repr(read_system({"TOKEN": "hunter2"}))
