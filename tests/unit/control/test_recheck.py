"""What a differing key turns out to be, over several looks."""

from __future__ import annotations

from bridge.control.comparison import Candidate, Comparison, Difference, SourceRow, TableRow
from bridge.control.recheck import STRIKES, Suspect, look_again, suspects

A, B, C = b'{"status":"A"}', b'{"status":"B"}', b'{"status":"C"}'


def expected(value: bytes | None, key: str = "k") -> dict[str, SourceRow]:
    return {key: SourceRow(key, key, value)}


def lies(*values: bytes, key: str = "k") -> dict[str, list[TableRow]]:
    return {key: [TableRow(key, f"v{n}", value) for n, value in enumerate(values)]}


def first(source: bytes | None, table: bytes | None) -> dict[str, Suspect]:
    kind: Difference = "missing" if table is None else "extra" if source is None else "different"
    return suspects([Candidate("k", "k", kind, source, table, "v0" if table else None)])


def test_what_has_arrived_meanwhile_is_sound() -> None:
    assert look_again(first(A, None), expected(A), lies(A)) == {}
    assert look_again(first(B, A), expected(B), lies(B)) == {}
    assert look_again(first(None, A), {}, {}) == {}


def test_what_equals_the_source_as_it_was_is_sound_too() -> None:
    assert look_again(first(B, A), expected(C), lies(B)) == {}


def test_what_stands_still_and_differs_is_a_difference() -> None:
    left = first(A, None)
    for _ in range(STRIKES):
        assert not left["k"].standing
        left = look_again(left, expected(A), {})

    assert left["k"].standing
    assert left["k"].kind == "missing"


def test_what_the_source_changes_goes_on_moving() -> None:
    left = first(A, None)
    for value in (B, C, A, B):
        left = look_again(left, expected(value), lies(b"older"))

    assert left["k"].strikes == 0
    assert left["k"].kind == "different"


def test_a_move_takes_earlier_strikes_back() -> None:
    left = look_again(first(A, None), expected(A), {})
    assert left["k"].strikes == 1

    left = look_again(left, expected(B), {})
    assert left["k"].strikes == 0


def test_a_row_twice_in_the_table_never_becomes_sound() -> None:
    left = first(A, A)
    for _ in range(STRIKES):
        left = look_again(left, expected(A), lies(A, A))

    assert left["k"].standing
    assert left["k"].kind == "extra"


def test_an_item_that_can_not_become_a_row_stands() -> None:
    left = look_again(first(None, A), expected(None), lies(A))

    assert left["k"].strikes == 1
    assert left["k"].kind == "different"


def test_a_key_is_forgotten_when_both_sides_are_gone() -> None:
    assert look_again(first(A, None), {}, {}) == {}


def compare(source: list[SourceRow], table: list[TableRow]) -> list[tuple[str, str]]:
    with Comparison() as comparison:
        assert comparison.add_source(source) == len(source)
        assert comparison.add_table(table) == len(table)
        return sorted((c.row_key, c.kind) for c in comparison.candidates())


def test_equal_sides_have_no_candidates() -> None:
    rows = [SourceRow(str(n), str(n), A) for n in range(12_000)]
    table = [TableRow(str(n), "v", A) for n in range(12_000)]

    assert compare(rows, table) == []


def test_every_kind_of_difference_is_found() -> None:
    source = [SourceRow(key, key, A) for key in ("same", "gone", "other", "twice")]
    source.append(SourceRow("unfit", "unfit", None))
    table = [
        TableRow("same", "v", A),
        TableRow("other", "v", B),
        TableRow("new", "v", A),
        TableRow("twice", "v1", A),
        TableRow("twice", "v2", A),
        TableRow("unfit", "v", A),
    ]

    assert compare(source, table) == [
        ("gone", "missing"),
        ("new", "extra"),
        ("other", "different"),
        ("twice", "extra"),
        ("unfit", "different"),
    ]
