"""Bundles as runs leave them, jobs of every provider, and a client that does not wait."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from codspeed import bundle as bundles
from codspeed.model import (
    BenchmarkResult,
    Bundle,
    Compat,
    Manifest,
    Metric,
    PartRecord,
    PartResults,
    Reporter,
    RunContext,
    System,
)
from codspeed.testing import FakeService
from codspeed_service.descriptor import ServiceOptions
from codspeed_service.http import Client
from codspeed_service.uploader import ServiceUploader

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# The made-up job of spec/cli-upload.md 4.2.
FACTS = {
    "provider_kind": "GITHUB",
    "ref": "refs/pull/41/merge",
    "head_ref": "mallory:feat/\u00e9",
    "base_ref": "main",
    "sender_id": "4242",
    "sender_login": "mallory",
    "run_id": "18000000001",
    "job": "bench",
    "run_part_id": 'bench-{"py":"3.12"}-{"job-total":2,"job-index":0}',
    "run_part_metadata": '{"job-index":0,"job-total":2,"py":"3.12"}',
    "private": "false",
    "is_fork": "true",
    "oidc": "false",
}
FINGERPRINT = {
    "os": "linux",
    "distribution": "ubuntu",
    "distribution_version": "24.04",
    "arch": "x86_64",
    "host": "runner-7",
    "user": "ci",
    "cpu_model": "AMD EPYC 7763 64-Core Processor",
    "cpu_name": "cpu0",
    "cpu_vendor": "AuthenticAMD",
    "cpu_cores": 2,
    "memory_bytes": 16_367_000_000,
    "cpu_flags": ["avx2", "aes", "avx"],
}
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def record(executor: str = "walltime", index: int = 0, **fields: Any) -> PartRecord:
    defaults: dict[str, Any] = {
        "index": index,
        "executor": executor,
        "distribution": f"codspeed-{executor}",
        "version": "0.1.0",
        "mode": executor,
        "label": "pytest",
        "argv": ("pytest",),
        "cwd": "",
        "harnessed": False,
        "compat": Compat.CODSPEED,
        "folder": f"profiles/{executor}-{index}",
        "archive": "gzip" if executor == "valgrind" else "plain",
        "status": 0,
        "benchmarks": 1,
    }
    return PartRecord(**(defaults | fields))


@attrs.frozen
class BundleMaker:
    """Makes bundles in `folder`, of a GitHub job unless told otherwise."""

    folder: Path

    def __call__(
        self,
        *records: PartRecord,
        facts: Mapping[str, str | None] | None = None,
        files: Mapping[str, bytes] | None = None,
        context: Mapping[str, Any] | None = None,
        **fields: Any,
    ) -> Bundle:
        records = records or (record(),)
        root = self.folder / "repository"
        root.mkdir(parents=True, exist_ok=True)
        known = FACTS | {"repository_root_path": f"{root}/"} | dict(facts or {})
        told = {name: value for name, value in known.items() if value is not None}
        where: dict[str, Any] = {
            "provider": "github-actions",
            "repository": "acme/widgets",
            "repository_key": "widgets-1",
            "root": root,
            "remote": "https://github.com/acme/widgets",
            "commit": COMMIT,
            "branch": "mallory:feat/\u00e9",
            "event": "pull_request",
            "facts": told,
        }
        defaults: dict[str, Any] = {
            "schema": 1,
            "run_id": f"20261101T120000-000-{len(list(self.folder.glob('2026*'))):08x}",
            "created_ns": 1_793_000_000_000_000_000,
            "codspeed": "0.1.0",
            "plugins": {},
            "context": RunContext(**(where | dict(context or {}))),
            "variant": {},
            "fingerprint": FINGERPRINT,
            "parts": records,
        }
        return self._written(Manifest(**(defaults | fields)), files or {"results/1.json": b"{}"})

    def _written(self, manifest: Manifest, files: Mapping[str, bytes]) -> Bundle:
        writer = bundles.create(self.folder, manifest.run_id)
        benchmark = BenchmarkResult("a.py::f", "f", (Metric("time", 1.0, "ns"),))
        results = []
        for part in manifest.parts:
            for name, data in files.items():
                path = writer.profile_folder(f"{part.executor}-{part.index}") / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
            results.append(PartResults(part.index, part.executor, part.mode, "m", (benchmark,)))
        return writer.write(manifest, results, [])


class Listener(Reporter):
    """Remembers what the user was told."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.warnings: list[str] = []
        self.verbatims: list[tuple[str, str]] = []
        self.debugs: list[str] = []

    def debug(self, text: str) -> None:
        self.debugs.append(text)

    def info(self, text: str) -> None:
        self.lines.append(text)

    def warning(self, text: str) -> None:
        self.warnings.append(text)

    def verbatim(self, text: str, *, stream: str = "stderr") -> None:
        self.verbatims.append((stream, text))

    @property
    def job_log(self) -> str:
        return "".join(f"{text}\n" for stream, text in self.verbatims if stream == "stderr")

    @property
    def everything(self) -> str:
        said = [*self.lines, *self.warnings, *self.debugs]
        return "\n".join([*said, *(text for _, text in self.verbatims)])


@attrs.define
class Naps:
    """Sleeps no time and remembers how long it was asked to."""

    seconds: list[float] = attrs.field(factory=list)

    def sleep(self, seconds: float) -> None:
        self.seconds.append(seconds)


def highest(_least: float, most: float) -> float:
    """Draw the largest random number."""
    return most


@attrs.define
class Account:
    """Makes uploaders that talk to the fake service."""

    service: FakeService
    listener: Listener
    naps: Naps
    temp: Path

    def client(self, **fields: Any) -> Client:
        defaults: dict[str, Any] = {"connect_seconds": 5.0, "answer_seconds": 5.0}
        return Client(self.naps.sleep, highest, **(defaults | fields))

    def uploader(
        self,
        env: Mapping[str, str] | None = None,
        client: Client | None = None,
        **options: Any,
    ) -> ServiceUploader:
        addresses = {"upload_url": self.service.upload_url, "api_url": self.service.api_url}
        made = ServiceUploader(
            ServiceOptions(**(addresses | options)), client=client or self.client()
        )
        system = System("linux", "debian", "12", "x86_64", 0, self.temp, dict(env or {}))
        made.prepare(system, self.listener)
        return made


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Talk to the loopback interface, whatever the developer's machine has."""
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def listener() -> Listener:
    return Listener()


@pytest.fixture
def naps() -> Naps:
    return Naps()


@pytest.fixture
def service(listener: Listener) -> Iterator[FakeService]:
    with FakeService(job_log=lambda: listener.job_log) as made:
        yield made


@pytest.fixture
def account(service: FakeService, listener: Listener, naps: Naps, tmp_path: Path) -> Account:
    temp = tmp_path / "temp"
    temp.mkdir()
    return Account(service, listener, naps, temp)


@pytest.fixture
def make(tmp_path: Path) -> BundleMaker:
    return BundleMaker(tmp_path / "bundles")


@pytest.fixture
def part() -> Any:
    """`record`, which test files can't import."""
    return record


@pytest.fixture
def example() -> str:
    """The example of spec/cli-upload.md 4.2, compact."""
    text = (Path(__file__).parent / "example.json").read_text("utf-8")
    return json.dumps(json.loads(text), separators=(",", ":"), ensure_ascii=False)


@pytest.fixture
def local(tmp_path: Path) -> dict[str, Any]:
    """What a run by hand has in place of a job."""
    return {
        "provider": "local",
        "event": "local",
        "branch": "topic",
        "facts": {},
        "root": tmp_path / "bundles" / "repository",
    }


@pytest.fixture
def hash_line() -> re.Pattern[str]:
    return re.compile(r'CodSpeed Run Hash: "[0-9a-f]{64}"')
