"""Mangled names."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codspeed_native import demangle
from codspeed_native.demangle import demangled

if TYPE_CHECKING:
    from pathlib import Path

HASH = "17h54b695c611e6784b"


@pytest.mark.parametrize(
    ("mangled", "plain"),
    [
        (f"_ZN12client_flame7seventy{HASH}E", "client_flame::seventy"),
        (f"_ZN4main4work{HASH}E.llvm.1234", "main::work"),
        (f"_ZN4main28_$u7b$$u7b$closure$u7d$$u7d${HASH}E", "main::{{closure}}"),
        (
            f"_ZN60_$LT$alloc..vec..Vec$LT$T$GT$$u20$as$u20$core..ops..Drop$GT$4drop{HASH}E",
            "<alloc::vec::Vec<T> as core::ops::Drop>::drop",
        ),
        (f"_ZN3a$$4b$C${HASH}E", "a$$::b,"),
        (f"_ZN1a9$u110000${HASH}E", "a::$u110000$"),  # no character has that code
    ],
)
def test_names_of_rust(mangled: str, plain: str) -> None:
    assert demangled(mangled) == plain


@pytest.mark.tool
@pytest.mark.parametrize(
    "mangled",
    [
        "_Z3fooi",
        "_Z3fooi.isra.0",
        "_ZNSt6vectorIiSaIiEE9push_backEOi",
        "_ZN5outer5innerEv",
        "_ZN4mainE",
        "_Z",
        "_Znonsense",
        "main",
    ],
)
def test_names_of_c_plus_plus_are_those_of_another_decoder(mangled: str) -> None:
    if shutil.which("c++filt") is None:
        pytest.skip("c++filt is not on PATH")
    oracle = subprocess.run(("c++filt", mangled), check=True, capture_output=True, text=True)

    assert demangled(mangled) == oracle.stdout.strip()


def test_names_stay_without_a_decoder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demangle, "_decoder", lambda: lambda _name: None)

    assert demangled("_Z3fooi") == "_Z3fooi"
    assert demangled(f"_ZN4main4work{HASH}E") == "main::work"


def test_a_name_that_could_exhaust_the_stack_stays() -> None:
    name = "_Z1f" + "P" * 5_000 + "i"

    assert demangled(name) == name


@pytest.mark.process
@pytest.mark.tool
@pytest.mark.skipif(shutil.which("rustc") is None, reason="rustc is not on PATH")
def test_what_the_compiler_of_rust_writes(tmp_path: Path) -> None:
    (tmp_path / "names.rs").write_text("fn main() { std::process::exit(3) }")
    subprocess.run(("rustc", "-O", "names.rs"), cwd=tmp_path, check=True, capture_output=True)
    listed = subprocess.run(("nm", "names"), cwd=tmp_path, check=True, capture_output=True)
    symbols = [line.split()[-1] for line in listed.stdout.decode().splitlines()]
    names = {demangled(name) for name in symbols}

    assert "names::main" in names
    assert "std::process::exit" in names
    assert not [name for name in names if name.startswith(("_ZN", "_R"))]


@given(st.text(alphabet="_ZNER0123456789abehu$LTGC.IiSv", max_size=60))
def test_any_name_has_one(rest: str) -> None:
    assert demangled(f"_Z{rest}") != ""
    assert demangled(f"_ZN{rest}{HASH}E") != ""
    assert demangled(f"_R{rest}") != ""
