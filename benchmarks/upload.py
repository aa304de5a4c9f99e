"""What an upload costs: peak memory, and the archive beside what GNU tools take.

Makes profile folders in a temporary folder (the memory case writes 2 GB and as much again), then
measures one beside the other. The targets: below 150 MB of memory for 2 GB, a plain archive in at
most 1.5x of GNU tar's time, a gzip archive at least 8x as fast as `tar | gzip -6` with at most 20 %
more bytes.

    python benchmarks/upload.py [--megabytes 500] [--gzip-megabytes 75] [--memory-megabytes 2048]
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from codspeed import bundle as bundles
from codspeed.model import Compat, Manifest, PartRecord, Reporter, RunContext, System
from codspeed.testing import FakeService
from codspeed_service.archive import packed
from codspeed_service.descriptor import ServiceOptions
from codspeed_service.uploader import ServiceUploader

if TYPE_CHECKING:
    from collections.abc import Callable

_MB: Final = 1 << 20
_FILES: Final = 20
# The child that uploads: only it counts, not the service in this process.
_CHILD: Final = """
import resource, sys
sys.path.insert(0, sys.argv[1])
import upload
upload.send(sys.argv[2], sys.argv[3], sys.argv[4])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def main() -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--megabytes", type=int, default=500)
    parser.add_argument("--gzip-megabytes", type=int, default=75)
    parser.add_argument("--memory-megabytes", type=int, default=2048)
    parser.add_argument("--repeat", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="codspeed-upload-") as name:
        root = Path(name)
        _compare_plain(root, arguments.megabytes, arguments.repeat)
        _compare_gzip(root, arguments.gzip_megabytes, arguments.repeat)
        _measure_memory(root, arguments.memory_megabytes)


def _compare_plain(root: Path, megabytes: int, repeat: int) -> None:
    folder = _random_folder(root / "plain", megabytes)
    target = root / "gnu.tar"
    ours, gnu = _medians(
        repeat,
        lambda: _pack(folder, "plain", root),
        lambda: _run(f"tar -C {folder} -cf {target} ."),
    )
    _say(
        f"plain archive, {megabytes} MB: ours {ours:.2f} s, GNU tar {gnu:.2f} s: {ours / gnu:.2f}x"
    )
    shutil.rmtree(folder)
    target.unlink()


def _compare_gzip(root: Path, megabytes: int, repeat: int) -> None:
    folder = _callgrind_folder(root / "gzip", megabytes)
    target = root / "gnu.tar.gz"
    ours, gnu = _medians(
        repeat,
        lambda: _pack(folder, "gzip", root),
        lambda: _run(f"tar -C {folder} -cf - . | gzip -6 > {target}"),
    )
    size, gnu_size = _pack(folder, "gzip", root), target.stat().st_size
    _say(
        f"gzip archive, {megabytes} MB of callgrind-like text: ours {ours:.2f} s, "
        f"tar | gzip -6 {gnu:.2f} s: {gnu / ours:.1f}x as fast, "
        f"{size / 1e6:.1f} MB beside {gnu_size / 1e6:.1f} MB: {size / gnu_size - 1:+.1%}"
    )
    shutil.rmtree(folder)
    target.unlink()


def _measure_memory(root: Path, megabytes: int) -> None:
    for kind in ("plain", "gzip"):
        path = _bundle(root, megabytes, kind)
        with FakeService(keep_archives=False) as service:
            token = service.add_user("ada")
            started = time.perf_counter()
            done = subprocess.run(
                [
                    sys.executable,
                    "-c",
                    _CHILD,
                    str(Path(__file__).parent),
                    str(path),
                    service.upload_url,
                    token,
                ],
                check=True,
                capture_output=True,
                text=True,
                env=os.environ | {"NO_PROXY": "127.0.0.1", "TMPDIR": str(root)},
            )
            seconds = time.perf_counter() - started
            (upload,) = service.uploads
        peak = int(done.stdout.split()[-1]) / (_MB if sys.platform == "darwin" else 1024)
        _say(
            f"upload of a {megabytes} MB profile folder, {kind} ({(upload.size or 0) / 1e6:.0f} MB "
            f"sent): peak memory {peak:.0f} MB, {seconds:.1f} s"
        )
        shutil.rmtree(path)


def send(path: str, upload_url: str, token: str) -> None:
    """Upload a bundle: the work of the child."""
    uploader = ServiceUploader(ServiceOptions(token=token, upload_url=upload_url))
    temp = Path(tempfile.gettempdir())
    uploader.prepare(System("linux", "", "", "x86_64", 0, temp, {}), Reporter())
    uploader.upload(bundles.read(Path(path)))


def _pack(folder: Path, kind: str, temp: Path) -> int:
    with packed(folder, kind, temp=temp) as archive:
        return archive.size


def _run(command: str) -> None:
    subprocess.run(["bash", "-c", f"set -o pipefail; {command}"], check=True)


def _medians(repeat: int, *actions: Callable[[], object]) -> list[float]:
    """Return the median of each action in seconds, measured in turn so that both meet the same."""
    times: list[list[float]] = [[] for _ in actions]
    for _ in range(repeat):
        for action, taken in zip(actions, times, strict=True):
            started = time.perf_counter()
            action()
            taken.append(time.perf_counter() - started)
    return [statistics.median(taken) for taken in times]


def _random_folder(folder: Path, megabytes: int) -> Path:
    folder.mkdir(parents=True)
    for number in range(_FILES):
        with (folder / f"perf.{number}.data").open("wb") as file:
            for _ in range(max(megabytes // _FILES, 1)):
                file.write(os.urandom(_MB))
    return folder


def _callgrind_folder(folder: Path, megabytes: int) -> Path:
    """Write text that looks like callgrind's: positions, counters, calls, compressed names."""
    folder.mkdir(parents=True)
    chance = random.Random(7)  # noqa: S311 - no secret
    lines: list[str] = []
    size = 0
    while size < 5 * _MB:
        if chance.random() < 0.05:
            name = "".join(chance.choices("abcdefghijklmnopqrstuvwxyz_", k=18))
            line = f"fn=({chance.randrange(9000)}) {name}\n"
        elif chance.random() < 0.1:
            calls, place = chance.randrange(1, 400), chance.randrange(1 << 22)
            line = f"cfn=({chance.randrange(9000)})\ncalls={calls} 0x{place:x}\n"
        else:
            counters = " ".join(str(int(chance.paretovariate(0.7))) for _ in range(5))
            line = f"+{chance.randrange(1, 64)} {counters}\n"
        lines.append(line)
        size += len(line)
    for number in range(max(megabytes // 5, 1)):
        chance.shuffle(lines)
        (folder / f"{1000 + number}.out").write_text("".join(lines))
    return folder


def _bundle(root: Path, megabytes: int, kind: str) -> Path:
    record = PartRecord(
        index=0,
        executor="walltime",
        distribution="codspeed-walltime",
        version="0.1.0",
        mode="walltime",
        label="benchmark",
        argv=("benchmark",),
        cwd="",
        harnessed=False,
        compat=Compat.CODSPEED,
        folder="profiles/walltime-0",
        archive=kind,
    )
    facts = {"ref": "refs/heads/main", "run_id": "1", "job": "j", "run_part_id": "j"}
    context = RunContext(
        "github-actions",
        "acme/widgets",
        "widgets-1",
        root,
        commit="0" * 40,
        event="push",
        facts=facts,
    )
    manifest = Manifest(
        schema=1,
        run_id=f"20261101T120000-000-{0:08x}",
        created_ns=0,
        codspeed="0.1.0",
        plugins={},
        context=context,
        variant={},
        fingerprint={"cpu_model": "x"},
        parts=(record,),
    )
    writer = bundles.create(root / "bundles", manifest.run_id)
    folder = writer.profile_folder("walltime-0")
    _random_folder(folder, megabytes)
    return writer.write(manifest, [], []).path


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
