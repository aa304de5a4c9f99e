"""The steps of action.yml that decide something; the inputs come as INPUT_* variables.

    python3 scripts/action.py prepare    # check inputs, name caches
    python3 scripts/action.py run        # measure, then tell

Runs with whatever Python the machine has, so: the standard library only, and no newer syntax.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import platform
import re
import secrets
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    Env = Mapping[str, str]

_BOOLEANS = (
    "CACHE_INSTRUMENTS",
    "ALLOW_EMPTY",
    "SKIP_HASH_CHECK_WARNING",
    "STORE_CACHE",
    "COMMENT",
)
# Inputs that are passed on if they are not empty.
_VALUES = (
    "MODE",
    "WORKING_DIRECTORY",
    "UPLOAD_URL",
    "INSTRUMENTS",
    "MONGO_URI_ENV_NAME",
    "GO_RUNNER_VERSION",
    "CYCLE_ESTIMATION",
    "EXCLUDE_ALLOCATIONS",
    "CONFIG",
)
_OIDC = ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "ACTIONS_ID_TOKEN_REQUEST_URL")
_FORGE = "codspeed-report:forge"
_RESULTS = b"::group::Benchmark results"
_END = b"::endgroup::"
_BUNDLE = b"Bundle: "
_UPLOADED = b"uploaded to CodSpeed: "


class Problem(Exception):  # noqa: N818 - what the user did, not a fault of ours
    """An input makes no sense; the message says which and what to do."""


# --- prepare --------------------------------------------------------------------------------------


def prepare(env: Env) -> dict[str, str]:
    """Return the outputs of the first step.

    Raises:
        Problem: If an input makes no sense.
    """
    _check(env)
    modes = re.sub(r"[^\w.-]+", "-", env["INPUT_MODE"].strip())
    version = re.sub(r"[^\w.-]+", "-", env.get("INPUT_RUNNER_VERSION", "")) or "checkout"
    system = "-".join([env.get("RUNNER_OS", ""), env.get("RUNNER_ARCH", "")])
    job = _job_key(env)
    repository = re.sub(r"[^\w./-]+|\.\.", "-", env.get("GITHUB_REPOSITORY", "repository"))
    store = Path.home() / ".cache" / "codspeed-store" / repository / job
    prefix = f"codspeed-store-{job}-{system}-"
    attempt = env.get("GITHUB_RUN_ATTEMPT", "1")
    is_request = env.get("GITHUB_EVENT_NAME", "").startswith("pull_request")
    saves = _is_true(env, "STORE_CACHE") and not is_request
    return {
        "version": version,
        "instruments-cache-dir": _cache_folder(env),
        "instruments-prefix": f"codspeed-instruments-{modes}-{system}-{platform.release()}-",
        "store": str(store) if _is_true(env, "STORE_CACHE") else "",
        "store-prefix": prefix,
        "store-key": f"{prefix}{env.get('GITHUB_RUN_ID', '0')}-{attempt}",
        "saves-store": "true" if saves else "false",
    }


def _check(env: Env) -> None:
    if not env.get("INPUT_MODE", "").strip():
        text = (
            "The input `mode` is empty: say simulation, walltime, memory, or several (with commas)"
        )
        raise Problem(text)
    for name in _BOOLEANS:
        value = env.get(f"INPUT_{name}", "false")
        if value not in {"true", "false"}:
            shown = name.lower().replace("_", "-")
            text = f"The input `{shown}` is {value!r}: say true or false"
            raise Problem(text)


def _job_key(env: Env) -> str:
    """Return a name for this job among all jobs of the repository, fit for a file and a cache key.

    Jobs of a matrix measure different things; each has its own results.
    """
    job = re.sub(r"[^\w.-]+", "-", env.get("GITHUB_JOB", "job"))
    try:
        matrix = json.loads(env.get("GH_MATRIX") or "null")
    except ValueError:
        matrix = None
    if not isinstance(matrix, dict) or not matrix:
        return job
    text = json.dumps(matrix, sort_keys=True)
    return f"{job}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def _cache_folder(env: Env) -> str:
    return str(
        Path(env.get("INPUT_INSTRUMENTS_CACHE_DIR") or "~/.cache/codspeed-action").expanduser()
    )


def _is_true(env: Env, name: str) -> bool:
    return env.get(f"INPUT_{name}") == "true"


# --- run ------------------------------------------------------------------------------------------


def run(env: Env) -> tuple[dict[str, str], int]:
    """Measure, then tell; return the outputs and the exit status.

    The token for comments is given to the second process only: benchmarks never see it.
    """
    measuring, publishing = _uploaders(env)
    status, lines = _tee([env["CODSPEED_PROGRAM"], *arguments(env, measuring)], measure_env(env))
    outputs = {"bundle-path": _bundle(lines), "run-url": _url(lines), "regressions": ""}
    if publishing and outputs["bundle-path"]:
        told, _ = _tee(
            [env["CODSPEED_PROGRAM"], *_publish(env, outputs["bundle-path"])], _publish_env(env)
        )
        status = status or told
    if env.get("ACTION_STORE"):
        # A cache is for results; profiles stay in the bundle of this job.
        gc = ("store", "gc", "--keep-bytes", "0", "--store", env["ACTION_STORE"])
        subprocess.run([env["CODSPEED_PROGRAM"], *gc], env=measure_env(env), check=False)
    return outputs, status


def arguments(env: Env, uploaders: list[str] | None) -> list[str]:
    """Return the words behind `codspeed`, each input one word, whatever is in it."""
    words = ["run"]
    words += [
        f"--{name.lower().replace('_', '-')}={env[f'INPUT_{name}']}"
        for name in _VALUES
        if env.get(f"INPUT_{name}")
    ]
    if _is_true(env, "CACHE_INSTRUMENTS"):
        words.append(f"--setup-cache-dir={_cache_folder(env)}")
    if _is_true(env, "ALLOW_EMPTY"):
        words.append("--allow-empty")
    if env.get("ACTION_STORE"):
        words.append(f"--store={env['ACTION_STORE']}")
    if uploaders is not None:
        words.append(f"--uploader={','.join(uploaders)}")
    return [*words, "--", env["INPUT_RUN"]] if env.get("INPUT_RUN", "").strip() else words


def _uploaders(env: Env) -> tuple[list[str] | None, bool]:
    """Return who takes the results while measuring (None: the usual), and whether we tell after."""
    given = [name.strip() for name in env.get("INPUT_UPLOADER", "").split(",") if name.strip()]
    has_token = bool(env.get("INPUT_TOKEN") or env.get("CODSPEED_TOKEN"))
    has_oidc = all(env.get(name) for name in _OIDC)
    if not given and _is_true(env, "STORE_CACHE") and not (has_token or has_oidc):
        # Whoever keeps results in the cache and gives no token wants no account.
        given = ["local", "forge"]
    publishing = not given or "forge" in given or _is_true(env, "COMMENT")
    if not given:
        return None, publishing
    return [name for name in given if name != "forge"] or ["local"], publishing


def measure_env(env: Env) -> dict[str, str]:
    """Return the environment of the run: the token instead of INPUT_*, and `forge` comes later."""
    own = {key: value for key, value in env.items() if not key.startswith(("INPUT_", "ACTION_"))}
    # By a variable, not by a flag: everybody on the machine can read flags.
    if env.get("INPUT_TOKEN"):
        own["CODSPEED_TOKEN"] = env["INPUT_TOKEN"]
    disabled = [env.get("CODSPEED_DISABLE_PLUGINS", ""), _FORGE]
    own["CODSPEED_DISABLE_PLUGINS"] = ",".join(filter(None, disabled))
    return own


def _publish(env: Env, bundle: str) -> list[str]:
    words = ["upload", bundle, "--uploader=forge", f"--comment={env.get('INPUT_COMMENT', 'false')}"]
    return [*words, f"--store={env['ACTION_STORE']}"] if env.get("ACTION_STORE") else words


def _publish_env(env: Env) -> dict[str, str]:
    own = {key: value for key, value in env.items() if not key.startswith(("INPUT_", "ACTION_"))}
    if env.get("ACTION_COMMENT_TOKEN"):
        own["CODSPEED_COMMENT_TOKEN"] = env["ACTION_COMMENT_TOKEN"]
    return own


def _tee(command: list[str], env: Env) -> tuple[int, list[bytes]]:
    """Run, pass on what is written, and return the status and the lines of the results."""
    results: list[bytes] = []
    is_open = False
    child = subprocess.Popen(command, env=env, stdout=subprocess.PIPE)
    output = child.stdout or io.BytesIO()
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda number, _frame: child.send_signal(number))
    for line in output:
        sys.stdout.buffer.write(line)
        sys.stdout.buffer.flush()
        if line.startswith(_RESULTS):
            results, is_open = [], True
        elif line.startswith(_END):
            is_open = False
        elif is_open:
            results.append(line.rstrip(b"\r\n"))
    status = child.wait()
    return (status if status >= 0 else 128 - status), results


def _bundle(lines: list[bytes]) -> str:
    found = [line[len(_BUNDLE) :] for line in lines if line.startswith(_BUNDLE)]
    return os.fsdecode(found[-1]) if found else ""


def _url(lines: list[bytes]) -> str:
    """Return the address behind the message of the service's uploader."""
    told = [line.decode(errors="replace") for line in lines if line.startswith(_UPLOADED)]
    found = [match[1] for match in (re.search(r" (https?://\S+)$", line) for line in told) if match]
    return found[-1] if found else ""


# --- What GitHub reads ----------------------------------------------------------------------------


def write_outputs(outputs: dict[str, str], path: str) -> None:
    """Append outputs to GITHUB_OUTPUT; no value can end its own text."""
    with Path(path).open("a", encoding="utf-8", errors="surrogateescape") as file:
        for name, value in outputs.items():
            end = f"end-{secrets.token_hex(16)}"
            file.write(f"{name}<<{end}\n{value}\n{end}\n")


def main(argv: list[str]) -> int:
    """Run one step."""
    env = dict(os.environ)
    status = 0
    try:
        if argv == ["prepare"]:
            outputs = prepare(env)
        elif argv == ["run"]:
            outputs, status = run(env)
        else:
            sys.exit(__doc__)
    except Problem as problem:
        text = str(problem).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
        sys.stdout.write(f"::error title=codspeed::{text}\n")
        return 1
    write_outputs(outputs, env["GITHUB_OUTPUT"])
    return status


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main(sys.argv[1:]))
    sys.exit(130)
