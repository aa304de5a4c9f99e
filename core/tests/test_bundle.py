"""Bundles: written whole or not at all, kept when their run is killed, read with care."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import signal
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import pytest
import zstandard

from codspeed import bundle
from codspeed.errors import BundleError
from codspeed.model import (
    BUNDLE_SCHEMA,
    BenchmarkResult,
    Compat,
    Launch,
    Manifest,
    Metric,
    Outcome,
    PartRecord,
    PartResults,
    RunContext,
    RunPart,
    Window,
)

if TYPE_CHECKING:
    from collections.abc import Callable

RUN_ID = "20260102T030405-678-0123abcd"
SECRET = "s3cr3t-t0ken"

RECORD = PartRecord(
    index=0,
    executor="fake",
    distribution="codspeed-fake",
    version="1",
    mode="fake",
    label="make bench",
    argv=("make", "bench"),
    cwd="/src",
    harnessed=False,
    compat=Compat.NATIVE,
    folder="profiles/fake-0",
    archive="plain",
    options={"fake_factor": 2},
    model="fake/1",
)
CONTEXT = RunContext("local", "owner/name", "name-123", Path("/src"))
MANIFEST = Manifest(BUNDLE_SCHEMA, RUN_ID, 1, "0.1.0", {}, CONTEXT, {}, {}, (RECORD,))
RESULTS = (
    PartResults(
        0, "fake", "fake", "fake/1", (BenchmarkResult("a::b", "b", (Metric("m", 1, "u"),)),)
    ),
)
OUTCOME = Outcome(status=0, windows=(Window("a::b", (1,), 2, 3),))


def make_part(folder: Path) -> RunPart:
    return RunPart(0, "fake", "fake", "make bench", Launch(("make",)), folder, outcome=OUTCOME)


@pytest.fixture
def profile(tmp_path: Path) -> Path:
    folder = tmp_path / "profile.out"
    (folder / "results").mkdir(parents=True)
    (folder / "results" / "1.json").write_text("{}")
    (folder / "link").symlink_to("results/1.json")
    return folder


@pytest.fixture
def writer(tmp_path: Path) -> bundle.BundleWriter:
    return bundle.create(tmp_path / "bundles", RUN_ID)


@pytest.fixture
def written(writer: bundle.BundleWriter, profile: Path) -> Path:
    writer.take_profile(profile, "fake-0", keep=False)
    return writer.write(MANIFEST, RESULTS, [make_part(profile)]).path


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Path:
    """Return a file system of 64 KiB; undone by whoever made it when the test ends."""
    if os.geteuid() != 0:
        pytest.skip("needs root to mount a small file system")
    place = tmp_path / "disk"
    place.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", place], capture_output=True, check=False
    )
    if done.returncode != 0:
        pytest.skip(f"no mount here: {done.stderr.decode()}")
    return place


@pytest.fixture(autouse=True)
def _unmounted(tmp_path: Path) -> object:
    yield
    if (tmp_path / "disk").is_mount():
        subprocess.run(["umount", "--lazy", tmp_path / "disk"], check=True)


def fill(path: Path) -> None:
    """Write until the disk is full."""
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(4096)):
            pass


# --- Writing --------------------------------------------------------------------------------------


def test_a_run_id_sorts_by_time() -> None:
    early, late = (
        bundle.new_run_id(1_767_323_045_678_000_000),
        bundle.new_run_id(1_767_323_045_679_000_000),
    )

    assert early.startswith("20260102T030405-678-")
    assert early < late
    assert bundle._RUN_ID.fullmatch(early)


def test_what_is_written_is_read(written: Path) -> None:
    found = bundle.read(written)

    assert found.manifest == MANIFEST
    assert found.results == RESULTS
    assert sorted(path.name for path in written.iterdir()) == [
        "manifest.json", "outcomes", "profiles", "results.json"
    ]  # fmt: skip
    assert (written / "profiles/fake-0/link").readlink() == Path("results/1.json")


def test_a_part_is_restored_from_its_bundle(written: Path) -> None:
    part = bundle.restore_part(bundle.read(written), RECORD)

    assert part.outcome == OUTCOME
    assert part.folder == written / "profiles/fake-0"
    assert part.launch == Launch(("make", "bench"), cwd=Path("/src"))
    assert part.options == {"fake_factor": 2}


def test_a_part_without_an_outcome_is_restored_without(written: Path) -> None:
    shutil.rmtree(written / "outcomes")

    assert bundle.restore_part(bundle.read(written), RECORD).outcome is None


def test_nothing_is_seen_before_it_is_whole(writer: bundle.BundleWriter, profile: Path) -> None:
    writer.take_profile(profile, "fake-0", keep=False)
    writer.checkpoint(MANIFEST, RESULTS, [make_part(profile)])

    assert bundle.find(writer.folder) == []


def test_bundles_are_found_oldest_first(written: Path) -> None:
    earlier = written.with_name("20250102T030405-678-0123abcd")
    shutil.copytree(written, earlier)
    (written.parent / "notes").mkdir()
    (written.parent / "20240102T030405-678-0123abcd").mkdir()

    assert bundle.find(written.parent) == [earlier, written]
    assert bundle.find(written / "absent") == []


def test_a_profile_folder_is_moved(writer: bundle.BundleWriter, profile: Path) -> None:
    writer.take_profile(profile, "fake-0", keep=False)

    assert not profile.exists()


def test_a_profile_folder_of_the_user_stays(writer: bundle.BundleWriter, profile: Path) -> None:
    writer.take_profile(profile, "fake-0", keep=True)

    assert (profile / "results/1.json").read_text() == "{}"
    assert (writer.profile_folder("fake-0") / "results/1.json").read_text() == "{}"


def test_fifos_and_sockets_are_left_out_of_a_copy(
    writer: bundle.BundleWriter, profile: Path
) -> None:
    os.mkfifo(profile / "results" / "perf.fifo")
    writer.take_profile(profile, "fake-0", keep=True)

    copied = writer.profile_folder("fake-0") / "results"

    assert [path.name for path in copied.iterdir()] == ["1.json"]


def test_a_profile_folder_around_the_bundles_does_not_contain_itself(profile: Path) -> None:
    writer = bundle.create(profile / "bundles", RUN_ID)
    writer.take_profile(profile, "fake-0", keep=True)

    assert list((writer.profile_folder("fake-0") / "bundles").iterdir()) == []


def test_no_secret_stands_in_the_manifest(tmp_path: Path) -> None:
    writer = bundle.create(tmp_path, RUN_ID, redact=lambda text: text.replace(SECRET, "***"))
    record = attrs.evolve(
        RECORD,
        argv=("curl", SECRET),
        label=f"curl {SECRET}",
        error=f"{SECRET} failed",
        options={"header": [SECRET]},
    )
    context = attrs.evolve(CONTEXT, remote=f"https://x:{SECRET}@host", facts={"a": SECRET})
    manifest = attrs.evolve(MANIFEST, context=context, parts=(record,))
    path = writer.write(manifest, RESULTS, []).path

    assert SECRET not in (path / "manifest.json").read_text()
    assert bundle.read(path).manifest.parts[0].options == {"header": ["***"]}


def test_a_secret_that_is_an_ordinary_word_damages_nothing(tmp_path: Path) -> None:
    writer = bundle.create(tmp_path, RUN_ID, redact=lambda text: text.replace("native", "***"))
    path = writer.write(MANIFEST, RESULTS, []).path

    assert bundle.read(path).manifest == MANIFEST


def test_arguments_that_are_no_utf8_are_kept(tmp_path: Path) -> None:
    record = attrs.evolve(RECORD, argv=("cat", "caf\udce9"))
    manifest = attrs.evolve(MANIFEST, parts=(record,))
    path = bundle.create(tmp_path, RUN_ID).write(manifest, RESULTS, []).path

    assert bundle.read(path).manifest.parts[0].argv == ("cat", "caf\udce9")


def test_results_that_no_json_can_hold_are_an_error_and_the_rest_stays(
    writer: bundle.BundleWriter, profile: Path
) -> None:
    writer.take_profile(profile, "fake-0", keep=False)
    bad = (
        PartResults(
            0, "f", "f", "m", (BenchmarkResult("a", "a", (Metric("m", float("nan"), "u"),)),)
        ),
    )
    with pytest.raises(BundleError, match="not JSON compliant"):
        writer.write(MANIFEST, bad, [])

    assert (writer.partial / "profiles/fake-0/results/1.json").exists()


def test_a_folder_that_cannot_be_written_is_an_error_that_names_the_option(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BundleError) as caught:
        bundle.create(tmp_path / "file" / "bundles", RUN_ID)

    assert str(tmp_path / "file" / "bundles") in caught.value.problem
    assert caught.value.hint == "free space there or name another folder with --bundle-dir"


@pytest.mark.tool
def test_a_full_disk_leaves_the_profile_where_it_was(tiny_disk: Path, profile: Path) -> None:
    (profile / "big").write_bytes(bytes(200_000))
    writer = bundle.create(tiny_disk, RUN_ID)
    with pytest.raises(BundleError, match="No space left on device"):
        writer.take_profile(profile, "fake-0", keep=False)

    assert (profile / "big").stat().st_size == 200_000
    assert not writer.profile_folder("fake-0").exists()


@pytest.mark.tool
def test_a_full_disk_at_the_end_leaves_the_last_checkpoint(tiny_disk: Path) -> None:
    writer = bundle.create(tiny_disk, RUN_ID)
    writer.checkpoint(MANIFEST, RESULTS, [])
    fill(tiny_disk / "ballast")
    with pytest.raises(BundleError, match="No space left on device"):
        writer.write(MANIFEST, RESULTS * 500, [])
    writer.release()
    (tiny_disk / "ballast").unlink()

    assert bundle.adopt(tiny_disk) == [tiny_disk / RUN_ID]
    assert bundle.read(tiny_disk / RUN_ID).results == RESULTS


# --- Killed runs ----------------------------------------------------------------------------------


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[3])
import test_bundle as t
from codspeed import bundle
writer = bundle.create(Path(sys.argv[1]), t.RUN_ID)
source = Path(sys.argv[2])
writer.expect_profile(source, "fake-0")
if sys.argv[4] == "measured":
    writer.checkpoint(t.MANIFEST, t.RESULTS, [t.make_part(source)])
print("ready", flush=True)
if sys.argv[5] == "die":
    os.kill(os.getpid(), signal.SIGKILL)
sys.stdin.read()
"""


@pytest.fixture
def killed(tmp_path: Path, profile: Path) -> Callable[..., subprocess.Popen[str]]:
    def start(what: str, end: str = "die") -> subprocess.Popen[str]:
        here = Path(__file__).parent
        argv: list[str | Path] = [sys.executable, "-c", KILLED]
        argv += [tmp_path / "bundles", profile, here, what, end]
        child = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        return child

    return start


def end(child: subprocess.Popen[str]) -> int:
    child.communicate("")
    return child.returncode


@pytest.mark.process
def test_what_a_killed_run_measured_is_adopted(
    killed: Callable[..., subprocess.Popen[str]], tmp_path: Path, profile: Path
) -> None:
    status = end(killed("measured"))
    adopted = bundle.adopt(tmp_path / "bundles")

    assert status == -signal.SIGKILL
    assert adopted == [tmp_path / "bundles" / RUN_ID]
    assert bundle.read(adopted[0]).results == RESULTS
    assert (adopted[0] / "profiles/fake-0/results/1.json").exists()
    assert not profile.exists()
    assert sorted(path.name for path in adopted[0].iterdir()) == [
        "manifest.json", "outcomes", "profiles", "results.json"
    ]  # fmt: skip


@pytest.mark.process
def test_a_run_that_lives_is_left_alone(
    killed: Callable[..., subprocess.Popen[str]], tmp_path: Path, profile: Path
) -> None:
    child = killed("measured", "live")
    adopted = bundle.adopt(tmp_path / "bundles")

    assert adopted == []
    assert profile.exists()
    assert end(child) == 0


@pytest.mark.process
def test_a_run_that_was_killed_before_it_measured_leaves_nothing(
    killed: Callable[..., subprocess.Popen[str]], tmp_path: Path, profile: Path
) -> None:
    shutil.rmtree(profile / "results")
    end(killed("nothing"))

    assert bundle.adopt(tmp_path / "bundles") == []
    assert list((tmp_path / "bundles").iterdir()) == []
    assert not profile.exists()


def test_an_own_unfinished_bundle_is_not_adopted(writer: bundle.BundleWriter) -> None:
    writer.checkpoint(MANIFEST, RESULTS, [])

    assert bundle.adopt(writer.folder) == []
    assert bundle.adopt(writer.folder / "absent") == []


def test_a_hidden_folder_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / ".partial-x").mkdir()

    assert bundle.adopt(tmp_path) == []
    assert (tmp_path / ".partial-x").exists()


# --- Reading --------------------------------------------------------------------------------------


def packed(folder: Path, mode: str) -> Path:
    target = folder.with_name(f"bundle.tar.{mode}" if mode else "bundle.tar")
    memory = io.BytesIO()
    how: Any = "w" if mode == "zst" else f"w:{mode}"
    with tarfile.open(fileobj=memory, mode=how) as archive:
        archive.add(folder, arcname=folder.name)
    data = memory.getvalue()
    target.write_bytes(zstandard.compress(data) if mode == "zst" else data)
    return target


@pytest.mark.parametrize("mode", ["", "gz", "xz", "zst"])
def test_a_packed_bundle_is_read(written: Path, mode: str) -> None:
    found = bundle.read(packed(written, mode))

    assert found.manifest == MANIFEST
    assert found.results == RESULTS


def test_an_archive_of_several_frames_is_read_to_its_end(written: Path) -> None:
    data = zstandard.decompress(packed(written, "zst").read_bytes(), max_output_size=1 << 20)
    target = written.with_name("frames.tar.zst")
    target.write_bytes(zstandard.compress(data[:1000]) + zstandard.compress(data[1000:]))

    assert bundle.read(target).results == RESULTS


@pytest.mark.parametrize("mode", ["", "gz", "xz", "zst"])
@pytest.mark.parametrize("kept", [0, 30, 200])
def test_a_damaged_archive_is_a_bundle_error(written: Path, mode: str, kept: int) -> None:
    path = packed(written, mode)
    path.write_bytes(path.read_bytes()[:kept] + b"\0garbage" * 20)
    with pytest.raises(BundleError) as caught:
        bundle.read(path)

    assert str(path) in caught.value.problem


def test_an_unpacked_archive_is_gone_when_the_process_ends(written: Path, tmp_path: Path) -> None:
    temp = tmp_path / "temp"
    temp.mkdir()
    program = (
        "import sys; from pathlib import Path; from codspeed import bundle;"
        "print(bundle.read(Path(sys.argv[1])).path)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, packed(written, "zst")],
        env={**os.environ, "TMPDIR": str(temp)},
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.startswith(str(temp))
    assert list(temp.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "content", "fault"),
    [
        pytest.param("manifest.json", None, "is not a bundle", id="no manifest"),
        pytest.param("results.json", None, "is not a bundle", id="no results"),
        pytest.param("manifest.json", "{", "is not JSON", id="half a manifest"),
        pytest.param("manifest.json", "[]", "has bundle schema None", id="another document"),
        pytest.param(
            "manifest.json", '{"schema": 99}', "schema 99; this codspeed reads 1", id="newer"
        ),
        pytest.param(
            "manifest.json", '{"schema": 1}', "required field missing @ $.run_id", id="empty"
        ),
        pytest.param("results.json", "{}", "has no key 'parts'", id="no parts"),
    ],
)
def test_what_is_no_whole_bundle_is_an_error_that_says_why(
    written: Path, name: str, content: str | None, fault: str
) -> None:
    (written / name).unlink()
    if content is not None:
        (written / name).write_text(content)
    with pytest.raises(BundleError) as caught:
        bundle.read(written)

    assert fault in caught.value.problem
    assert str(written) in caught.value.problem


def test_a_damaged_outcome_is_an_error_that_names_the_file(written: Path) -> None:
    (written / "outcomes/0.msgpack").write_bytes(b"\xc1")
    with pytest.raises(BundleError, match=r"0\.msgpack is not MessagePack"):
        bundle.restore_part(bundle.read(written), RECORD)


@pytest.mark.parametrize("folder", ["/etc", "../../secrets", "profiles/../../x"])
def test_a_manifest_cannot_name_folders_outside_of_its_bundle(written: Path, folder: str) -> None:
    with pytest.raises(BundleError) as caught:
        bundle.part_folder(bundle.read(written), attrs.evolve(RECORD, folder=folder))

    assert folder in caught.value.problem
