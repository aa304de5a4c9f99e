from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from codspeed.model import Compat
from codspeed_valgrind.capabilities import Capabilities
from codspeed_valgrind.command import Request, arguments, refused
from codspeed_valgrind.descriptor import ValgrindOptions

FORK = Capabilities(
    Path("/usr/bin/valgrind"),
    "3.26.0.codspeed6",
    obj_skip=True,
    cycle_estimation=True,
    tracegrind=True,
)
STOCK = Capabilities(Path("/usr/bin/valgrind"), "3.19.0")

# spec/executors.md 2.1, word for word.
REFERENCE = """
-q --trace-children=yes --cache-sim=yes --I1=32768,8,64 --D1=32768,8,64 --LL=8388608,16,64
--instr-atstart=no --collect-systime=nsec --read-inline-info=yes --cycle-estimation=yes
--tool=callgrind --compress-strings=no --combine-dumps=yes --dump-line=no
--trace-children-skip=*esbuild,*.rustup-wrapped --obj-skip=/lib/libpython.so --obj-skip=/bin/node
--callgrind-out-file=/p/%p.out --log-file=/p/valgrind.%p.log
""".split()  # noqa: SIM905 - as it stands in the contract


def request(capabilities: Capabilities, compat: Compat, **fields: Any) -> Request:
    options = ValgrindOptions(**fields.pop("options", {}))
    defaults: dict[str, Any] = {
        "out_file": "/p/%p.out",
        "log_file": "/p/valgrind.%p.log",
        "skip_objects": ("/lib/libpython.so", "/bin/node"),
        "skip_functions": ("PyObject_Call", "_start"),
    }
    return Request(capabilities=capabilities, options=options, compat=compat, **(defaults | fields))


def test_compat_is_the_reference_to_the_letter() -> None:
    assert list(arguments(request(FORK, Compat.CODSPEED))) == REFERENCE


def test_compat_on_stock_is_the_reference_less_what_it_refuses() -> None:
    wanted = request(STOCK, Compat.CODSPEED)

    assert list(arguments(wanted)) == [
        word for word in REFERENCE if not word.startswith(("--cycle-estimation", "--obj-skip"))
    ]
    assert refused(wanted) == ("--cycle-estimation", "--obj-skip")


def test_nothing_is_refused_that_was_not_asked_for() -> None:
    wanted = request(STOCK, Compat.CODSPEED, options={"cycle_estimation": False}, skip_objects=())

    assert refused(wanted) == ()


def test_compat_with_tracegrind_has_its_own_words() -> None:
    options = {"simulation_tool": "tracegrind", "experimental_fair_sched": True}
    wanted = request(FORK, Compat.CODSPEED, options=options, out_file="/p/%p.tgtrace")

    assert list(arguments(wanted)) == [
        *REFERENCE[:9],
        "--tool=tracegrind",
        "--trace-children-skip=*esbuild,*.rustup-wrapped",
        "--fair-sched=yes",
        "--tracegrind-out-file=/p/%p.tgtrace",
        "--log-file=/p/valgrind.%p.log",
    ]


def test_fair_scheduling_comes_before_the_skipped_objects() -> None:
    words = arguments(request(FORK, Compat.CODSPEED, options={"experimental_fair_sched": True}))
    at = words.index("--fair-sched=yes")

    assert words[at - 1].startswith("--trace-children-skip=")
    assert words[at + 1] == "--obj-skip=/lib/libpython.so"


def test_native_records_whole_chains_and_skips_functions_by_name() -> None:
    words = arguments(request(STOCK, Compat.NATIVE))

    assert {"--separate-callers=100", "--compress-mangled=yes", "--compress-strings=yes"} <= {
        *words
    }
    assert [word for word in words if "skip=" in word][1:] == [
        "--fn-skip=PyObject_Call",
        "--fn-skip=_start",
    ]


def test_native_skips_whole_objects_where_valgrind_can() -> None:
    words = arguments(request(FORK, Compat.NATIVE))

    assert "--obj-skip=/lib/libpython.so" in words
    assert not any(word.startswith("--fn-skip=") for word in words)


@pytest.mark.parametrize("capabilities", [FORK, STOCK])
def test_both_simulate_the_same_caches(capabilities: Capabilities) -> None:
    compat, native = (
        [word for word in arguments(request(capabilities, kind)) if word[:5] in caches]
        for kind in Compat
        for caches in [("--I1=", "--D1=", "--LL=", "--cac")]
    )

    assert compat == native == REFERENCE[2:6]


def test_a_static_program_is_measured_from_its_start() -> None:
    assert "--instr-atstart=yes" in arguments(request(STOCK, Compat.NATIVE, at_start=True))


def test_raw_files_are_kept_in_the_form_that_kcachegrind_reads() -> None:
    words = arguments(request(STOCK, Compat.NATIVE, options={"keep_raw": True}))

    assert "--compress-mangled=no" in words
