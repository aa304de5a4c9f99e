"""Names in Rust's newer form."""

from __future__ import annotations

import re
import shutil
import string
import subprocess
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codspeed_native.rust_v0 import demangled

if TYPE_CHECKING:
    from pathlib import Path

# The oracle writes the hash of a crate and the type of a constant, which are left out here.
_HASH = re.compile(r"\[[0-9a-f]+\](?=::|>|$| )")
_TYPE = re.compile(r": [iu](?:8|16|32|64|128|size)\b(?=[>,])")


@pytest.mark.parametrize(
    ("mangled", "plain"),
    [
        ("_RNvCs1234_7mycrate3foo", "mycrate::foo"),
        ("_RNvCs1234_7mycrate3foo.llvm.99", "mycrate::foo"),
        ("_RNCNvCs1234_7mycrate3foo0", "mycrate::foo::{closure#0}"),
        ("_RNCNvCs1234_7mycrate3foos_0", "mycrate::foo::{closure#1}"),
        ("_RNvMs_Cs4_1aNtB4_3Foo3new", "<a::Foo>::new"),
        ("_RNvXCs4_1aNtB2_3FooNtB2_3Bar3baz", "<a::Foo as a::Bar>::baz"),
        ("_RINvCs4_1a1flReE", "a::f::<i32, &str>"),
        ("_RINvCs4_1a1fTlETlmEAhj4_ShE", "a::f::<(i32,), (i32, u32), [u8; 4], [u8]>"),
        ("_RINvCs4_1a1fPlOlQlE", "a::f::<*const i32, *mut i32, &mut i32>"),
        ("_RINvCs4_1a1fFUKClEuE", 'a::f::<unsafe extern "C" fn(i32)>'),
        ("_RIB_lE", None),  # refers to what it is part of
        ("_RINvCs4_1a1fFG_RL0_hEmE", "a::f::<for<'a> fn(&'a u8) -> u32>"),
        ("_RINvCs4_1a1fDNtB2_3FooEL_E", "a::f::<dyn a::Foo>"),
        ("_RINvCs4_1a1fDNtB2_3Foop4Itemlp3OutmEL_E", "a::f::<dyn a::Foo<Item = i32, Out = u32>>"),
        ("_RINvCs4_1a1fKan5_Kb1_Kc61_KpE", "a::f::<-5, true, 'a', _>"),
        ("_RNvCs4_1au8gdel_5qa", "a::gödel"),
        ("_RNvC1a", None),  # ends too early
        ("_RINvC1a1fKc7fffffffffffffffff_E", None),  # no such character
        ("_RBa_", None),
        ("_ZN1a1bE", None),
    ],
)  # fmt: skip
def test_names(mangled: str, plain: str | None) -> None:
    assert demangled(mangled) == plain


def test_names_that_are_too_deep_or_too_long_are_refused() -> None:
    doubled = [f"TB{place}_B{place}_E" for place in _doubling()]

    assert demangled("_RINvCs4_1a1f" + "T" * 99 + "l" + "E" * 100) is None
    assert demangled(f"_RINvCs4_1a1fTllE{''.join(doubled[:2])}E") == (
        "a::f::<(i32, i32), ((i32, i32), (i32, i32)),"
        " (((i32, i32), (i32, i32)), ((i32, i32), (i32, i32)))>"
    )
    assert demangled(f"_RINvCs4_1a1fTllE{''.join(doubled)}E") is None


def _doubling() -> list[str]:
    """Return where each of 20 tuples begins that hold the one before it twice."""
    digits = string.digits + string.ascii_lowercase + string.ascii_uppercase
    place = len("INvCs4_1a1f")
    begins, length = [], len("TllE")
    for _ in range(20):
        high, low = divmod(place - 1, 62)
        begins.append((digits[high] if high else "") + digits[low])
        place += length
        length = len(f"TB{begins[-1]}_B{begins[-1]}_E")
    return begins


@pytest.mark.process
@pytest.mark.tool
def test_the_names_of_the_standard_library_are_those_of_another_decoder(tmp_path: Path) -> None:
    for tool in ("rustc", "nm", "c++filt"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not on PATH")
    (tmp_path / "names.rs").write_text("fn main() {}")
    flags = ("-C", "symbol-mangling-version=v0")
    subprocess.run(("rustc", *flags, "names.rs"), cwd=tmp_path, check=True, capture_output=True)
    listed = _output(tmp_path, "nm", "names")
    names = [word for line in listed if (word := line.split()[-1]).startswith("_R")]
    oracle = _output(tmp_path, "c++filt", *names)

    assert [demangled(name) for name in names] == [
        _TYPE.sub("", _HASH.sub("", name)) for name in oracle
    ]


def _output(folder: Path, *words: str) -> list[str]:
    done = subprocess.run(words, cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.splitlines()


@given(st.text(alphabet="NvCs4_1aIMXYlTEFGRLBKDpnu0abc", max_size=60))
def test_any_text_is_a_name_or_none(rest: str) -> None:
    assert demangled(f"_R{rest}") != ""
