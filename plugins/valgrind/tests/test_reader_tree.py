"""From bodies to the stacks that a person sees."""

from __future__ import annotations

import pytest

from codspeed.model import Frame
from codspeed_native import fold, perf_map
from codspeed_valgrind.reader import tree as trees
from codspeed_valgrind.reader.body import Body, Function
from codspeed_valgrind.reader.frame import (
    NO_CALLERS,
    OUTSIDE,
    ROOT,
    TRUNCATED,
    frame_of,
    is_runtime,
)

LIBPYTHON = "/opt/python/lib/libpython3.13.so.1.0"
NAMES = perf_map.parse(
    b"1000 10 py::A.<locals>.__codspeed_root_frame__:/site/codspeed.py\n"
    b"1010 10 py::start:/src/bench/a.py\n"
    b"1020 10 py::read:/src/bench/a.py\n"
    b"1030 10 JS:*fib file:///src/x.js:3:13\n"
    b"1040 10 Builtin:ArrayMap\n"
    b"1050 10 JS:~ /src/x.js:9:1\n"
)
FUNCTIONS = {
    "root": ("0x0000000000001000", "", ""),
    "start": ("0x0000000000001010", "", ""),
    "read": ("0x0000000000001020", "", ""),
    "eval": ("_PyEval_EvalFrameDefault", LIBPYTHON, "ceval.c"),
    "alloc": ("_PyObject_Malloc", LIBPYTHON, "obmalloc.c"),
    "malloc": ("_int_malloc.constprop.0", "/lib/libc.so.6", "malloc.c"),
    "memset": ("memset", "/lib/libc.so.6", "memset.S"),
    "stub": ("0x0000000000009000", "", ""),
    "hidden": ("0x0000000000000123", "/lib/stripped.so", ""),
}


def _body(
    costs: dict[str, int], calls: dict[str, int] | None = None, *, has_chains: bool = True
) -> Body:
    """Make a body of chains like "root;start;eval"."""
    chains = {tuple(name.encode() for name in text.split(";")): c for text, c in costs.items()}
    functions = {key: Function(key, *FUNCTIONS[key.decode()]) for chain in chains for key in chain}
    counts = {name.encode(): count for name, count in (calls or {}).items()}
    return Body(chains, functions, counts, has_chains)


def _text(body: Body, names: perf_map.PerfMap = NAMES) -> str:
    tree = trees.call_tree(body, names)
    assert fold.cost(tree) == sum(body.costs.values())
    return fold.to_text(tree)


def test_interpreter_frames_are_hidden_where_there_are_python_frames() -> None:
    body = _body({"eval;root": 2, "eval;root;eval;start;eval": 3, "eval;root;eval;start;memset": 4})

    assert _text(body) == (
        "__codspeed_root_frame__ 2\n"
        "__codspeed_root_frame__;start 3\n"
        "__codspeed_root_frame__;start;memset 4\n"
    )


def test_without_python_frames_the_interpreter_is_all_there_is() -> None:
    body = _body({"eval": 2, "eval;memset": 3})

    assert _text(body) == "_PyEval_EvalFrameDefault 2\n_PyEval_EvalFrameDefault;memset 3\n"


def test_what_the_integration_does_around_the_benchmark_is_gathered() -> None:
    tree = trees.call_tree(_body({"eval": 7, "memset": 2, "root;start": 5}), NAMES)

    start = Frame("start", kind="python", location="/src/bench/a.py")
    assert tree.stacks == {(OUTSIDE,): 9, (ROOT, start): 5}


def test_stubs_are_contracted_and_what_they_jumped_to_counts_for_the_caller() -> None:
    body = _body({"root;start;stub": 500, "root;start;stub;memset": 5, "root;start": 1})

    assert (
        _text(body) == "__codspeed_root_frame__;start 501\n__codspeed_root_frame__;start;memset 5\n"
    )


@pytest.mark.parametrize(("own", "is_shown"), [(20, False), (31, True)])
def test_a_nameless_function_of_a_library_is_a_stub_if_it_is_as_cheap(
    own: int,
    is_shown: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    body = _body({"memset": 1, "memset;hidden": own}, {"hidden": 10})

    assert ("0x0000000000000123" in _text(body, perf_map.PerfMap())) is is_shown


def test_generated_code_without_a_map_keeps_its_address() -> None:
    body = _body({"memset;stub": 500}, {"stub": 1})

    assert _text(body, perf_map.PerfMap()) == "memset;0x0000000000009000 500\n"


def test_a_file_of_edges_shows_functions_under_a_frame_that_says_so() -> None:
    tree = trees.call_tree(_body({"root": 1, "start": 2, "eval": 4}, has_chains=False), NAMES)

    assert {stack[0] for stack in tree.stacks} == {NO_CALLERS}
    assert fold.cost(tree) == 7
    assert len(tree.stacks) == 3


def test_chains_that_were_cut_off_stay_in_the_benchmark() -> None:
    deep = ";".join(["start", "read"] * 15)

    tree = trees.call_tree(_body({deep: 9, "root;start": 1, "memset": 2}), NAMES)

    cut = next(stack for stack in tree.stacks if TRUNCATED in stack)
    assert cut[:2] == (ROOT, TRUNCATED)
    assert len(cut) == 32
    assert tree.stacks[OUTSIDE,] == 2


def test_the_allocators_cost_is_their_own_and_not_what_they_call() -> None:
    body = _body({"root;alloc": 10, "root;malloc": 5, "root;malloc;memset": 100, "root": 1})

    assert trees.allocator_cost(body) == 15


@pytest.mark.parametrize(
    ("address", "frame"),
    [
        ("0x1010", Frame("start", kind="python", location="bench/a.py")),
        ("0x1035", Frame("fib", kind="javascript", location="x.js:3")),
        ("0x1055", Frame("(anonymous)", kind="javascript", location="x.js:9")),
        ("0x1045", Frame("Builtin:ArrayMap", kind="jit")),
        ("0x7777", Frame("0x7777", kind="jit")),
    ],
)
def test_generated_code_has_the_name_of_its_map(address: str, frame: Frame) -> None:
    assert frame_of(Function(b"", address, "", ""), NAMES, base="/src") == frame


def test_native_frames_have_module_and_file() -> None:
    frame = frame_of(Function(b"", "f", "/lib/x.so", "x.c"), NAMES)

    assert frame == Frame("f", module="/lib/x.so", kind="native", location="x.c")


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        (LIBPYTHON, True),
        ("/usr/bin/python3.11", True),
        ("/usr/bin/python3.13t", True),
        ("/usr/bin/node", True),
        ("/usr/lib/x86_64-linux-gnu/libnode.so.108", True),
        ("/usr/bin/python3.11-dbg", True),
        ("/lib/_json.cpython-313-x86_64-linux-gnu.so", False),
        ("/src/python_parser.so", False),
        ("", False),
    ],
)
def test_an_interpreter_is_known_by_its_file(module: str, expected: bool) -> None:  # noqa: FBT001 - a parameter of the test
    assert is_runtime(module) is expected
