"""What is kept of earlier walks makes later ones quicker, and changes none."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from codspeed_native.address_space import AddressSpaces
from codspeed_native.architecture import AARCH64, X86_64
from codspeed_native.known_path import FORK, Paths, Tail
from codspeed_native.perf_records import Mmap
from codspeed_native.unwind import LIMIT, End, Unwinder

if TYPE_CHECKING:
    from codspeed_native.architecture import Architecture

# Code that nobody describes and that keeps frame pointers: each frame is (frame pointer of the
# caller, return address), where the frame pointer points to.
CODE_AT, CODE_BYTES = 0x10_0000, 0x1000
OTHER_AT = 0x20_0000
STACK_AT = 0x7000_0000

Walk = tuple[tuple[int, ...], End]


def _spaces(path: str = "//anon") -> AddressSpaces:
    spaces = AddressSpaces()
    spaces.feed(Mmap(0, 1, 1, CODE_AT, CODE_BYTES, 0, "", is_executable=True, path=path))
    return spaces


def _stack(*, frames: int, words: int, returns: list[int] | None = None) -> list[int]:
    """Frames of so many words, the innermost first; nobody knows where the last one returns to."""
    stack: list[int] = []
    for frame in range(frames):
        following = STACK_AT + 8 * words * (frame + 1) if frame + 1 < frames else 0
        target = CODE_AT + 16 * frame + 16 if returns is None else returns[frame]
        stack += [following, target if frame + 1 < frames else 0, *range(words - 2)]
    return stack


def _walked(
    unwinder: Unwinder,
    spaces: AddressSpaces,
    stack: list[int],
    *,
    begin: int = 0,
    pc: int = CODE_AT,
    arch: Architecture = X86_64,
) -> Walk:
    """Walk from the frame at word `begin` of a stack, whose function has just made its frame."""
    sp = STACK_AT + 8 * begin
    positions = arch.positions(arch.mask)
    registers = [0] * (max(positions.values()) + 1)
    registers[positions[arch.stack_pointer]] = registers[positions[arch.frame_pointer]] = sp
    registers[(arch.mask & ((1 << arch.program_counter) - 1)).bit_count()] = pc
    part = stack[begin:]
    view = memoryview(struct.pack(f"<{len(part)}Q", *part))
    return unwinder.walk(spaces.space(1), registers, view)


def _tails(spaces: AddressSpaces) -> list[Tail]:
    return [each for each in spaces.space(1).paths.states.values() if isinstance(each, Tail)]


@given(st.data())
def test_known_paths_change_no_walk(data: st.DataObject) -> None:
    arch = data.draw(st.sampled_from([X86_64, AARCH64]))
    spaces = _spaces(data.draw(st.sampled_from(["//anon", "/nowhere/python3.12"])))
    unwinder = Unwinder(spaces, arch)
    size = data.draw(st.integers(2, 4))
    stack = _stack(frames=data.draw(st.integers(2, 12)), words=size)
    word = st.integers(STACK_AT, STACK_AT + 8 * len(stack)) | st.integers(CODE_AT, CODE_AT + 300)
    for _ in range(data.draw(st.integers(2, 8))):
        for at in data.draw(st.lists(st.integers(0, len(stack) - 1), max_size=2)):
            stack[at] = data.draw(word)
        begin = size * data.draw(st.integers(0, len(stack) // size - 1))
        copied = stack[: data.draw(st.integers(begin, len(stack)))]

        found = _walked(unwinder, spaces, copied, begin=begin, arch=arch)

        fresh = _spaces(spaces.space(1).mappings[0].path)
        assert found == _walked(Unwinder(fresh, arch), fresh, copied, begin=begin, arch=arch)


def test_a_path_that_is_met_again_is_checked_as_a_whole() -> None:
    spaces = _spaces()
    unwinder = Unwinder(spaces, X86_64)
    stack = _stack(frames=20, words=4)
    expected = (CODE_AT, *(CODE_AT + 16 * frame + 15 for frame in range(19)))

    walks = [_walked(unwinder, spaces, stack) for _ in range(3)]

    assert walks == [(expected, End.LOST)] * 3
    (tail,) = _tails(spaces)
    assert tail.addresses == list(expected[2:])


def test_where_two_ways_lead_on_paths_end() -> None:
    spaces = _spaces()
    unwinder = Unwinder(spaces, X86_64)
    ways = [[CODE_AT + 16 * frame + 16 for frame in range(9)] for _ in range(2)]
    ways[1][5] += 4
    stacks = [_stack(frames=9, words=2, returns=each) for each in ways]

    walks = [_walked(unwinder, spaces, stack) for stack in (*stacks, *stacks, *stacks)]

    assert walks == walks[:2] * 3
    assert walks[0][0][:6] == walks[1][0][:6]
    assert walks[0][0][6] + 4 == walks[1][0][6]
    assert list(spaces.space(1).paths.states.values()).count(FORK) == 1


def test_what_is_mapped_later_counts() -> None:
    spaces = _spaces()
    unwinder = Unwinder(spaces, X86_64)
    stack = _stack(frames=4, words=2, returns=[CODE_AT + 16, CODE_AT + 32, OTHER_AT + 16, 0])

    before = [_walked(unwinder, spaces, stack) for _ in range(3)]
    spaces.feed(Mmap(1, 1, 1, OTHER_AT, CODE_BYTES, 0, "", is_executable=True, path="//anon"))
    after = _walked(unwinder, spaces, stack)

    assert before == [((CODE_AT, CODE_AT + 15, CODE_AT + 31), End.LOST)] * 3
    assert after == ((CODE_AT, CODE_AT + 15, CODE_AT + 31, OTHER_AT + 15), End.LOST)


def test_long_paths_are_put_together_from_several_and_still_limited() -> None:
    spaces = _spaces()
    unwinder = Unwinder(spaces, X86_64)
    returns = [CODE_AT + 16 * (frame % 200) + 16 for frame in range(LIMIT + 50)]
    stack = _stack(frames=LIMIT + 50, words=2, returns=returns)

    walks = [_walked(unwinder, spaces, stack) for _ in range(4)]

    assert walks == walks[:1] * 4
    assert (len(walks[0][0]), walks[0][1]) == (LIMIT, End.LIMIT)
    assert len(_tails(spaces)) == LIMIT // 64


def test_what_is_kept_is_bounded() -> None:
    paths = Paths()
    for number in range(20_001):
        paths.states[number] = FORK
    paths.finish([], (0, 0, 0))

    assert paths.states == {}
