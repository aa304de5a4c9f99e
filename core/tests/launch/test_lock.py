"""Machine-wide locks, with real processes and real users."""

from __future__ import annotations

import contextlib
import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from codspeed.errors import LockedError
from codspeed.launch.lock import hold, lock_path
from codspeed.model import Sharing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.process

NOBODY = 65534
TEMP = Path(tempfile.gettempdir())
HOLDER = """
import os, sys
from pathlib import Path
sharing, temp, uid, timeout = sys.argv[1:]
if int(uid):
    # The modules first: that user may not be able to read our files.
    from codspeed.launch.lock import hold
    import fcntl, pwd
    os.setgid(int(uid)); os.setuid(int(uid))
from codspeed.launch.lock import hold
from codspeed.errors import LockedError
from codspeed.model import Sharing
try:
    with hold("test", Sharing(sharing), temp=Path(temp), timeout=float(timeout), waiting=print):
        print("held", flush=True)
        sys.stdin.read()
except LockedError as error:
    print(error.problem, flush=True)
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start processes that hold the lock until they are told to end."""
    with contextlib.ExitStack() as stack:

        def start(
            sharing: str = "exclusive", *, temp: Path = tmp_path, uid: int = 0, timeout: float = 0
        ) -> subprocess.Popen[str]:
            argv = [sys.executable, "-c", HOLDER, sharing, str(temp), str(uid), str(timeout)]
            child = stack.enter_context(
                subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            )
            stack.callback(child.kill)
            return child

        yield start


def said(child: subprocess.Popen[str]) -> str:
    """Return the next line of a child."""
    assert child.stdout is not None
    return child.stdout.readline().strip()


def end(child: subprocess.Popen[str]) -> None:
    child.communicate("", timeout=10)


def refuse_to_wait(_holder: str) -> None:
    pytest.fail("nobody holds it")


def test_a_free_resource_is_held_at_once_and_names_its_holder(tmp_path: Path) -> None:
    with hold("x", Sharing.EXCLUSIVE, temp=tmp_path, timeout=0, waiting=refuse_to_wait):
        text = lock_path("x", tmp_path).read_text()

    assert text == f"{os.getpid()} {os.getuid()}\n"


def test_it_can_be_held_again_and_again(tmp_path: Path) -> None:
    for _ in range(3):
        with hold("x", Sharing.EXCLUSIVE, temp=tmp_path, timeout=0, waiting=refuse_to_wait):
            pass


def test_a_second_process_fails_at_once_and_names_pid_and_user(
    holder: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    child = holder()
    user = subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout.strip()

    assert said(child) == "held"
    with (
        pytest.raises(LockedError) as caught,
        hold("test", Sharing.EXCLUSIVE, temp=tmp_path, timeout=0, waiting=refuse_to_wait),
    ):
        pass
    assert caught.value.problem == f"test is held by process {child.pid} of user {user}"
    assert caught.value.hint == (
        "wait for it to end, or allow more time with --lock-timeout SECONDS"
    )


def test_a_second_process_waits_and_says_so_once(
    holder: Callable[..., subprocess.Popen[str]],
) -> None:
    first = holder()
    first_said = said(first)
    second = holder(timeout=20)
    waits_for = said(second)
    end(first)

    assert first_said == "held"
    assert waits_for.startswith(f"process {first.pid} of user ")
    assert said(second) == "held"


def test_a_holder_that_is_killed_holds_nothing(
    holder: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    child = holder()
    said(child)
    child.kill()
    child.wait()

    with hold("test", Sharing.EXCLUSIVE, temp=tmp_path, timeout=0, waiting=refuse_to_wait):
        pass


@pytest.mark.parametrize(
    ("first", "second", "answer"),
    [
        ("shared", "shared", "held"),
        ("shared", "exclusive", "test is held by process"),
        ("exclusive", "shared", "test is held by process"),
    ],
)
def test_sharing_excludes_only_exclusive_use(
    holder: Callable[..., subprocess.Popen[str]], first: str, second: str, answer: str
) -> None:
    said(holder(first))

    assert said(holder(second)).startswith(answer)


def test_resources_do_not_know_each_other(tmp_path: Path) -> None:
    with (
        hold("a", Sharing.EXCLUSIVE, temp=tmp_path, timeout=0, waiting=refuse_to_wait),
        hold("b", Sharing.EXCLUSIVE, temp=tmp_path, timeout=0, waiting=refuse_to_wait),
    ):
        names = sorted(path.name for path in tmp_path.iterdir())

    assert names == ["codspeed-a.lock", "codspeed-b.lock"]


def test_any_user_may_be_next_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        with hold("x", Sharing.EXCLUSIVE, temp=tmp_path, timeout=0, waiting=refuse_to_wait):
            pass
    finally:
        os.umask(before)

    assert lock_path("x", tmp_path).stat().st_mode & 0o777 == 0o666


def test_a_symbolic_link_is_refused_and_its_target_untouched(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    lock_path("x", tmp_path).symlink_to(victim)
    with (
        pytest.raises(LockedError) as caught,
        hold("x", Sharing.EXCLUSIVE, temp=tmp_path, timeout=0, waiting=refuse_to_wait),
    ):
        pass

    assert str(lock_path("x", tmp_path)) in caught.value.problem
    assert victim.read_text() == "precious"


def test_a_lock_file_that_was_cleaned_away_holds_nobody_up_and_protects_again(
    holder: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    """Between opening and locking the file may be removed; then the lock would be worth nothing."""
    with hold("test", Sharing.EXCLUSIVE, temp=tmp_path, timeout=0, waiting=refuse_to_wait):
        lock_path("test", tmp_path).unlink()
    said(holder())
    with (
        pytest.raises(LockedError),
        hold("test", Sharing.EXCLUSIVE, temp=tmp_path, timeout=0, waiting=refuse_to_wait),
    ):
        pass


def test_an_error_inside_is_passed_on_and_frees_the_resource(tmp_path: Path) -> None:
    with (
        pytest.raises(BlockingIOError),
        hold("x", Sharing.EXCLUSIVE, temp=tmp_path, timeout=0, waiting=refuse_to_wait),
    ):
        raise BlockingIOError
    with hold("x", Sharing.EXCLUSIVE, temp=tmp_path, timeout=0, waiting=refuse_to_wait):
        pass


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    with (
        pytest.raises(LockedError, match="can't be opened"),
        hold("x", Sharing.EXCLUSIVE, temp=tmp_path / "no", timeout=0, waiting=refuse_to_wait),
    ):
        pass


@pytest.fixture
def guarded_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return a sticky folder for all users, under fs.protected_regular=2 as on Debian."""
    if os.geteuid() != 0:
        pytest.skip("needs root to become two users and to set fs.protected_regular")
    knob = Path("/proc/sys/fs/protected_regular")
    folder = tmp_path_factory.mktemp("sticky")
    folder.chmod(0o1777)
    with contextlib.ExitStack() as undo:
        # One at a time on this machine, or a second test would restore what the first one set.
        alone = hold("tests-sysctl", Sharing.EXCLUSIVE, temp=TEMP, timeout=20, waiting=print)
        undo.enter_context(alone)
        undo.callback(knob.write_text, knob.read_text())
        try:
            knob.write_text("2")
        except OSError as failure:
            pytest.skip(f"fs.protected_regular can't be set here: {failure}")
        for parent in folder.parents:
            mode = stat.S_IMODE(parent.stat().st_mode)
            if not mode & 0o001:
                undo.callback(parent.chmod, mode)
                parent.chmod(mode | 0o011)
        yield folder


@pytest.mark.tool
@pytest.mark.parametrize(("first", "second"), [(0, NOBODY), (NOBODY, 0)])
def test_two_users_share_a_lock_in_a_sticky_folder(
    holder: Callable[..., subprocess.Popen[str]], guarded_folder: Path, first: int, second: int
) -> None:
    one = holder(temp=guarded_folder, uid=first)
    one_said = said(one)
    refused = said(holder(temp=guarded_folder, uid=second))
    end(one)

    assert one_said == "held"
    assert refused.startswith(f"test is held by process {one.pid} of user ")
    assert said(holder(temp=guarded_folder, uid=second)) == "held"


@pytest.mark.tool
def test_a_lock_file_that_only_its_owner_may_write_holds_others_too(
    holder: Callable[..., subprocess.Popen[str]], guarded_folder: Path
) -> None:
    """As flock(1) of util-linux leaves it."""
    path = lock_path("test", guarded_folder)
    path.touch(mode=0o644)
    one = holder(temp=guarded_folder, uid=NOBODY)
    one_said = said(one)

    assert one_said == "held"
    assert said(holder(temp=guarded_folder, uid=0)).startswith("test is held by ")
