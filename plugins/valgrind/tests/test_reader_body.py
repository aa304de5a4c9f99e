"""Bodies of parts: golden files, one for each thing that the format can say."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codspeed_valgrind.reader import body as bodies
from codspeed_valgrind.reader.totals import CallgrindError, scan

if TYPE_CHECKING:
    from codspeed_valgrind.reader.body import Body

HEADER = """# callgrind format
version: 1
creator: callgrind-3.19.0
pid: 1
part: 1
desc: Trigger: Client Request: x
positions: {positions}
events: {events}
summary: 0

"""


def _read(text: str, *, positions: str = "line", events: str = "Ir Dr") -> Body:
    """Read the last part of a file with this body."""
    data = (HEADER.format(positions=positions, events=events) + text).encode()
    part = scan(data, where="f")[-1]
    return bodies.read(data, part, where="f")


def _stacks(body: Body) -> dict[str, int]:
    """Return costs by names, joined with semicolons."""
    names = {key: function.name for key, function in body.functions.items()}
    return {";".join(names[key] for key in chain): cost for chain, cost in body.costs.items()}


def test_chains_of_references_are_stacks() -> None:
    body = _read("""ob=(1) /bin/program
fl=(1) program.c
fn=(0) main
fn=(2) read
fn=(4) (2)'(6)'(0)
5 100 7
+2 3
fn=(6) backup
fn=(8) (6)'(0)
cfn=(4)
calls=3 5
* 103 7
9 11
fn=(0)
1 2

totals: 116 7
""")

    assert _stacks(body) == {"main;backup;read": 103, "main;backup": 11, "main": 2}
    assert body.has_chains
    assert body.functions[b"(2)"].object == "/bin/program"
    assert body.functions[b"(2)"].file == "program.c"


def test_the_line_behind_calls_is_no_cost_of_the_caller() -> None:
    body = _read("""fn=(0) main
1 2
cfn=(1) callee
calls=1 50
1 9000
fn=(1)
50 9

totals: 11
""")

    assert _stacks(body) == {"main": 2, "callee": 9}


def test_levels_of_recursion_are_folded() -> None:
    body = _read("""fn=(0) main
fn=(2) fib
fn=(4) (2)'(0)
4 13
cfn=(5) (2)'2'(0)
calls=1 *
* 1577
fn=(5)
4 2110
cfn=(5)
calls=87 *
* 7424
fn=(0)
6 15

totals: 2138
""")

    assert _stacks(body) == {"main;fib": 2123, "main": 15}


def test_names_that_begin_with_a_bracket_are_no_references() -> None:
    compressed = _read("""fn=(0) (below main)
0 3
fn=(2) (anonymous namespace)::f(int)
fn=(4) (2)'(0)
1 1

totals: 4
""")
    uncompressed = _read("fn=(below main)\n0 5\n\ntotals: 5\n")

    assert _stacks(compressed) == {
        "(below main)": 3,
        "(below main);(anonymous namespace)::f(int)": 1,
    }
    assert _stacks(uncompressed) == {"(below main)": 5}


def test_the_object_of_a_callee_holds_for_that_call_only() -> None:
    body = _read("""ob=(1) /bin/program
fl=(1) a.c
fn=(0) main
1 2
cob=(2) /lib/libc.so.6
cfi=(2) malloc.c
cfn=(3) malloc
calls=1 7
1 30
fn=(1) next
1 4
ob=(2)
fl=(2)
fn=(3)
7 30

totals: 36
""")

    objects = {function.name: function.object for function in body.functions.values()}
    files = {function.name: function.file for function in body.functions.values()}
    assert objects == {"main": "/bin/program", "next": "/bin/program", "malloc": "/lib/libc.so.6"}
    assert files == {"main": "a.c", "next": "a.c", "malloc": "malloc.c"}


def test_inlined_files_start_no_function() -> None:
    body = _read("""ob=(1) /bin/program
fl=(1) a.c
fn=(0) main
1 2
fi=(2) inlined.h
77 5
fe=(1)
2 1
cfni=inlined function
cfni=???
3 1

totals: 9
""")

    assert _stacks(body) == {"main": 9}
    assert body.functions[b"(0)"].file == "a.c"


def test_positions_may_be_two_and_relative() -> None:
    body = _read(
        """fn=(0) main
0x401000 12 4 1
+3 +1 6
* * 1
-3 -1 0x10 2
+4 *

totals: 27 3
""",
        positions="instr line",
    )

    assert _stacks(body) == {"main": 27}


def test_the_column_of_instructions_may_be_any() -> None:
    body = _read("fn=(0) main\n1 7 5\n2 7\n\ntotals: 14 5\n", events="Dr Ir")

    assert _stacks(body) == {"main": 5}


def test_jumps_are_passed_over() -> None:
    body = _read("fn=(0) main\n1 4\njump=3 9\n1\njcnd=1/2 +3\n*\n2 6\n\ntotals: 10\n")

    assert _stacks(body) == {"main": 10}


def test_names_of_earlier_parts_hold() -> None:
    body = _read("""ob=(1) /bin/program
fn=(0) main
fn=(2) f
1 5
fn=(4) (2)'(0)
1 2

totals: 7
part: 2
desc: Trigger: Client Request: y
events: Ir Dr
summary: 0

ob=(1)
fn=(4)
1 3
fn=(0)
1 1

totals: 4
""")

    assert _stacks(body) == {"main;f": 3, "main": 1}
    assert body.functions[b"(0)"].object == "/bin/program"


def test_chains_that_are_written_in_names_are_split_at_names() -> None:
    body = _read("""fn=main
1 1
fn=f'main
1 2
fn=f'2'main
1 4
fn=it's<'a'>'f'main
1 8
fn=it's<'a'>
1 16

totals: 31
""")

    stacks = _stacks(body)
    assert stacks["main"] == 1
    assert stacks["main;f"] == 6
    assert sum(stacks.values()) == 31


def test_a_file_of_edges_has_single_functions_and_says_so() -> None:
    body = _read("""fn=main
1 1
cfn=f
calls=1 1
1 2
fn=f
1 2
fn=f'2
1 4

totals: 7
""")

    assert _stacks(body) == {"main": 1, "f": 6}
    assert not body.has_chains


def test_calls_of_nameless_functions_are_counted() -> None:
    body = _read("""ob=(1) /lib/x.so
fn=(0) main
1 1
cfn=(1) 0x0000000000001030
calls=20 0
1 40
fn=(2) other
1 1
cfn=(1)
calls=5 0
1 10
fn=(1)
0 50

totals: 52
""")

    assert body.calls == {b"(1)": 25}


def test_an_empty_part_has_no_functions() -> None:
    assert _read("\ntotals: 0\n").costs == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fn=(7)\n1 2\n\ntotals: 2\n", r"\(7\) has no name"),
        ("fn=(0) main\n1 x\n\ntotals: 2\n", "'1 x' is no line of costs"),
    ],
)
def test_damage_is_an_error_that_names_the_place(text: str, message: str) -> None:
    with pytest.raises(CallgrindError, match=message):
        _read(text)


def test_an_event_that_was_not_counted_is_an_error() -> None:
    with pytest.raises(CallgrindError, match="does not count Ir, only Dr Dw"):
        _read("\ntotals: 0\n", events="Dr Dw")


# --- Property: self costs add up to totals --------------------------------------------------------

NAMES = st.sampled_from(
    ["main", "(below main)", "f", "operator new(unsigned long)", "it's", "0x10"]
)
COSTS = st.lists(st.integers(0, 2**40), min_size=1, max_size=3)
PLACES = st.sampled_from(["1", "+3", "-2", "*", "0x4f"])


@st.composite
def _parts(draw: st.DrawFn) -> tuple[str, int]:
    """Return the body of a part and the Ir it sums up to; written as callgrind does it."""
    names = draw(st.lists(NAMES, min_size=1, max_size=4, unique=True))
    lines = [f"fn=({2 * index}) {name}" for index, name in enumerate(names)]
    total = 0
    identifiers: dict[str, int] = {}
    for _ in range(draw(st.integers(0, 8))):
        chain = draw(st.lists(st.integers(0, len(names) - 1), min_size=1, max_size=5))
        level = draw(st.sampled_from(["", "'2"]))
        text = "'".join([f"({2 * chain[0]}){level}", *(f"({2 * each})" for each in chain[1:])])
        is_new = text not in identifiers
        identifier = identifiers.setdefault(text, 101 + len(identifiers))
        lines.append(f"fn=({identifier})" + (f" {text}" if is_new else ""))
        for _ in range(draw(st.integers(0, 4))):
            costs = draw(COSTS)
            if draw(st.booleans()):
                lines.append(f"cfn=({2 * chain[0]})\ncalls=1 {draw(PLACES)}")
            else:
                total += costs[0]
            lines.append(f"{draw(PLACES)} {' '.join(map(str, costs))}")
    return "\n".join(lines), total


@settings(max_examples=80)
@given(st.lists(_parts(), min_size=1, max_size=3))
def test_self_costs_add_up_to_the_totals_of_every_part(parts: list[tuple[str, int]]) -> None:
    head = HEADER.format(positions="line", events="Ir Dr Dw")
    between = "\npart: 9\ndesc: Trigger: Client Request: y\nevents: Ir Dr Dw\nsummary: 0\n\n"
    data = (head + between.join(f"{text}\n\ntotals: {total}\n" for text, total in parts)).encode()

    read = scan(data, where="f")

    assert len(read) == len(parts)
    for part in read:
        costs = bodies.read(data, part, where="f").costs
        assert sum(costs.values()) == part.costs["Ir"]


GOLDEN = (
    HEADER.format(positions="line", events="Ir")
    + """ob=(1) /bin/p
fn=(0) main
fn=(2) 0x1234
fn=(4) (2)'(0)
1 5
cfn=(2)
calls=1 2
* 4

totals: 5
"""
).encode()


@given(at=st.integers(0, len(GOLDEN) - 1), bytes_=st.binary(max_size=3))
def test_any_damage_is_an_error_of_ours_or_none(at: int, bytes_: bytes) -> None:
    data = GOLDEN[:at] + bytes_ + GOLDEN[at + 1 :]

    with contextlib.suppress(CallgrindError):
        for part in scan(data, where="f"):
            bodies.read(data, part, where="f")
