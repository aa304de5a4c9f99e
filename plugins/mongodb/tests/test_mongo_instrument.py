"""The instrument with a tracer that is a small script on PATH."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import socket
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from codspeed.errors import ConfigError, ToolError
from codspeed_mongodb import install
from codspeed_mongodb.descriptor import MongoOptions, descriptor
from codspeed_mongodb.instrument import MongoInstrument
from codspeed_mongodb.tracer import Addresses

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from codspeed.model import RunPart

pytestmark = pytest.mark.process

# Answers with what it was told; `fate` decides how it misbehaves.
TRACER = """#!{python}
import http.server, json, os, pathlib, sys
fate = pathlib.Path({fate!r}).read_text()
pathlib.Path({pid!r}).write_text(str(os.getpid()))
print("says", "something", flush=True)
if fate == "dies":
    sys.exit(3)

class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        told = {{k: v for k, v in os.environ.items() if k.startswith(("CODSPEED_MONGO", "RUST"))}}
        body = json.dumps({{"path": self.path, "told": told}}).encode()
        self.send_response(500 if fate == "fails" else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words):
        pass

host, _, port = os.environ["CODSPEED_MONGO_INSTR_SERVER_ADDRESS"].rpartition(":")
http.server.HTTPServer((host, int(port)), Handler).serve_forever()
"""


class Bench:
    """A machine with a tracer on PATH."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.programs = folder / "bin"
        self.programs.mkdir()
        self.fate = folder / "fate"
        self.fate.write_text("works")
        self.pid = folder / "pid"
        self.addresses = Addresses(server=f"127.0.0.1:{free_port()}")
        self.env = {"PATH": f"{self.programs}:{os.environ['PATH']}", "HOME": str(folder)}

    def install(self) -> None:
        program = self.programs / install.PROGRAM
        text = TRACER.format(python=sys.executable, fate=str(self.fate), pid=str(self.pid))
        program.write_text(text)
        program.chmod(0o755)

    def instrument(self, variable: str | None = None) -> MongoInstrument:
        return MongoInstrument(MongoOptions(variable), self.env, self.addresses)

    def is_gone(self) -> bool:
        try:
            os.kill(int(self.pid.read_text()), 0)
        except ProcessLookupError:
            return True
        return False


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    made = Bench(tmp_path)
    made.install()
    return made


def counted(part: RunPart) -> Any:
    return json.loads((part.folder / "instruments" / "mongo.json").read_text())


def test_the_tracer_is_told_where_to_listen_and_asked_for_its_counts(
    bench: Bench, part_factory: Callable[..., RunPart]
) -> None:
    part = part_factory()
    bench.env["DB"] = "mongodb://me:hush@db.example:27017/shop"

    with bench.instrument("DB").run(part):
        assert not bench.is_gone()

    assert counted(part) == {
        "path": "/terminate",
        "told": {
            "RUST_LOG": "debug",
            "CODSPEED_MONGO_INSTR_SERVER_ADDRESS": bench.addresses.server,
            "CODSPEED_MONGO_PROXY_HOST_PORT": "127.0.0.1:27018",
            "CODSPEED_MONGO_DEST_HOST_PORT": "db.example:27017",
        },
    }
    assert bench.is_gone()


def test_without_a_uri_the_benchmarks_name_the_server(
    bench: Bench, part_factory: Callable[..., RunPart]
) -> None:
    part = part_factory()
    with bench.instrument().run(part):
        pass

    assert "CODSPEED_MONGO_DEST_HOST_PORT" not in counted(part)["told"]


def test_a_run_that_fails_stops_the_tracer_and_keeps_its_own_reason(
    bench: Bench, part_factory: Callable[..., RunPart]
) -> None:
    part = part_factory()
    bench.fate.write_text("fails")

    with pytest.raises(KeyboardInterrupt), bench.instrument().run(part):
        raise KeyboardInterrupt

    assert bench.is_gone()


def test_a_run_that_fails_keeps_what_was_counted(
    bench: Bench, part_factory: Callable[..., RunPart]
) -> None:
    part = part_factory()
    with pytest.raises(ZeroDivisionError), bench.instrument().run(part):
        raise ZeroDivisionError

    assert counted(part)["path"] == "/terminate"
    assert bench.is_gone()


def test_a_tracer_that_can_not_stop_is_an_error_and_gone(
    bench: Bench, part_factory: Callable[..., RunPart]
) -> None:
    bench.fate.write_text("fails")

    with (
        pytest.raises(ToolError, match="Failed to terminate the MongoDB tracer: it answered 500"),
        bench.instrument().run(part_factory()),
    ):
        pass

    assert bench.is_gone()


def test_a_tracer_that_ends_at_once(bench: Bench, part_factory: Callable[..., RunPart]) -> None:
    bench.fate.write_text("dies")

    with (
        pytest.raises(ToolError, match="ended at once, with status 3"),
        bench.instrument().run(part_factory()),
    ):
        pytest.fail("nothing may run")


def test_a_stranger_at_the_address_is_left_alone(
    bench: Bench, part_factory: Callable[..., RunPart]
) -> None:
    with socket.create_server(bench.addresses.reachable), pytest.raises(ToolError, match="already"):
        bench.instrument().run(part_factory()).__enter__()

    assert not bench.pid.exists()


def test_what_it_says_is_shown_at_debug(
    bench: Bench, part_factory: Callable[..., RunPart], capsys: pytest.CaptureFixture[str]
) -> None:
    with bench.instrument().run(part_factory()):
        pass
    assert capsys.readouterr().err == ""

    bench.env["CODSPEED_LOG"] = "debug"
    with bench.instrument().run(part_factory()):
        pass
    assert capsys.readouterr().err == "[MONGO TRACER LOGS] says something\n"


def test_only_simulated_benchmarks_go_through_the_proxy(
    tmp_path: Path, part_factory: Callable[..., RunPart]
) -> None:
    env = {"DB": "mongodb://me:hush@db:27017/shop?w=1"}
    instrument = MongoInstrument(MongoOptions("DB"), env)

    assert instrument.environment(part_factory(executor="walltime")) == {}
    assert instrument.environment(part_factory(executor="valgrind")) == {
        "CODSPEED_MONGO_INSTR_SERVER_ADDRESS": "http://0.0.0.0:55581",
        "DB": "mongodb://127.0.0.1:27018/shop?w=1&directConnection=true",
    }


def test_a_variable_that_is_not_set(bench: Bench, part_factory: Callable[..., RunPart]) -> None:
    with pytest.raises(ConfigError) as caught:
        bench.instrument("NOWHERE").run(part_factory()).__enter__()

    assert caught.value.problem == "NOWHERE environment variable not found"


# --- Installing ---


@contextlib.contextmanager
def serving(script: bytes) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if script else 404)
            self.send_header("Content-Length", str(len(script)))
            self.end_headers()
            self.wfile.write(script)

        def log_message(self, *words: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/installer.sh"
        finally:
            server.shutdown()
            thread.join()


def installing(tmp_path: Path, script: bytes, checksum: str | None = None) -> Path:
    env = {"HOME": str(tmp_path), "PATH": os.environ["PATH"], "NO_PROXY": "*"}
    env[install.CHECKSUM_VARIABLE] = checksum or hashlib.sha256(script).hexdigest()
    with serving(script) as url:
        return install.ensure(env, url=url)


def test_a_known_installer_is_run(tmp_path: Path) -> None:
    program = tmp_path / ".cargo" / "bin" / "cs-mongo-tracer"
    script = f"mkdir -p {program.parent} && touch {program} && chmod +x {program}\n"

    assert installing(tmp_path, script.encode()) == program


@pytest.mark.parametrize(
    ("script", "checksum", "message"),
    [
        pytest.param(b"touch $HOME/bad", "0" * 64, "is not its installer", id="another"),
        pytest.param(b"echo no; exit 9", None, "ended with status 9: no", id="fails"),
        pytest.param(b"true", None, "without leaving it", id="leaves nothing"),
        pytest.param(b"", "0" * 64, "can't be had: 404", id="missing"),
    ],
)
def test_an_installer_that_is_of_no_use(
    tmp_path: Path, script: bytes, checksum: str | None, message: str
) -> None:
    with pytest.raises(ToolError, match=message) as caught:
        installing(tmp_path, script, checksum)

    assert "leave out `--instruments mongodb`" in (caught.value.hint or "")
    assert not (tmp_path / "bad").exists()


def test_what_can_not_be_recognised_is_not_run(tmp_path: Path) -> None:
    env = {"HOME": str(tmp_path), "PATH": os.environ["PATH"], "NO_PROXY": "*"}
    with serving(b"touch $HOME/bad") as url, pytest.raises(ToolError, match=r"not 685f1d54"):
        install.ensure(env, url=url)

    assert not (tmp_path / "bad").exists()


def test_descriptor() -> None:
    assert descriptor.load() is MongoInstrument
