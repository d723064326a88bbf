"""Groups against a plain reference: all contributions in a dict, aggregated anew at each look."""

from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.keyed.aggregates import Aggregate, result_type
from processors.keyed.groups import Groups
from processors.keyed.stores import MemoryStore
from processors.language.runtime import UnfitValueError

TYPES = ("decimal(10,2)", "double", "string", "bigint")


def aggregate(function, argument):
    of = TYPES[argument] if argument is not None else ""
    return Aggregate(f"{function}_{argument}", function, argument, of, result_type(function, of))


AGGREGATES = [
    aggregate("count", None),
    *(
        aggregate(function, argument)
        for function in ("count", "sum", "avg", "min", "max", "first", "last")
        for argument in range(4)
        if result_type(function, TYPES[argument]) is not None
    ),
]


def reference(contributions):
    """`contributions`: item -> (since, changed, rows)."""
    rows = [row for _, _, rows in contributions.values() for row in rows]
    if not rows:
        return None
    first = min(contributions.values())[2][0]
    last = max(contributions.values(), key=lambda c: c[1])[2][-1]
    found = {"count_None": len(rows)}
    for a in AGGREGATES[1:]:
        values = [row[a.argument] for row in rows if row[a.argument] is not None]
        if a.argument_type.startswith("decimal"):
            values = [Decimal(value) for value in values]
        found[a.name] = of_values(a, values, first, last)
    return found


def of_values(a, values, first, last):
    if a.function == "count":
        return len(values)
    if a.function in ("first", "last"):
        return (first if a.function == "first" else last)[a.argument]
    if not values:
        return None
    if a.function in ("min", "max"):
        value = min(values) if a.function == "min" else max(values)
        return f"{value:f}" if isinstance(value, Decimal) else value
    if a.argument_type == "double":
        total = sum(map(Fraction, values))
        return float(total if a.function == "sum" else total / len(values))
    total = sum(values)
    if a.function == "sum":
        return f"{total:.2f}" if isinstance(total, Decimal) else total
    exact = Fraction(total) / len(values)
    sign, scaled = (-1 if exact < 0 else 1), abs(exact) * 10**6
    rounded = int(scaled + Fraction(1, 2)) * sign
    return f"{Decimal(rounded).scaleb(-6).quantize(Decimal('1e-6'), ROUND_HALF_UP):f}"


VALUES = st.tuples(
    st.none() | st.decimals(-1000, 1000, places=2).map(lambda d: f"{d:.2f}"),
    st.none() | st.floats(-1e300, 1e300).map(lambda f: f + 0.0),
    st.none() | st.text("ab\x00", max_size=3),
    st.none() | st.integers(-50, 50),
)
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["i", "j", "k", "l"]),
        st.one_of(st.none(), st.lists(VALUES, min_size=1, max_size=2)),
        st.integers(-2, 3),
    ),
    max_size=25,
)


@settings(max_examples=300, deadline=None)
@given(STEPS)
def test_a_group_is_its_contributions_whatever_comes_late(steps):
    groups, store = Groups(AGGREGATES), MemoryStore()
    known, versions, time = {}, {}, 0
    for place, (item, rows, step) in enumerate(steps):
        time += step  # versions also go back: those are stale
        version = f"{time + 100:010d}"
        stale = version <= versions.get(item, "")
        if rows is None:
            changed = groups.retract(store, item.encode(), version)
            assert (changed is None) == (stale or item not in known)
            if changed is not None:
                del known[item], versions[item]
        else:
            changed = groups.put(store, item.encode(), version, rows, place)
            assert (changed is None) == stale
            if changed is not None:
                since, last_change, before = known.get(item, (place, place, None))
                listed = [list(row) for row in rows]
                known[item] = (since, last_change if before == listed else place, listed)
                versions[item] = version
        if changed is not None:
            expected = reference(known)
            assert equal(changed.columns, expected)
    if not known:
        assert store.kept == {}


def equal(found, expected):
    """Decimals by value: min and max show a value as it was contributed."""
    if found is None or expected is None:
        return found == expected
    for a in AGGREGATES:
        one, other = found[a.name], expected[a.name]
        if a.function in ("min", "max") and a.argument_type.startswith("decimal"):
            one, other = (Decimal(v) if v is not None else None for v in (one, other))
        assert one == other, a
    return found.keys() == expected.keys()


def test_a_sum_that_does_not_fit_changes_nothing():
    total = Aggregate("total", "sum", 0, "bigint", "bigint")
    groups, store = Groups([total]), MemoryStore()
    groups.put(store, b"i", "1", [[2**63 - 1]], 0)
    before = dict(store.kept)
    with pytest.raises(UnfitValueError, match="column total"):
        groups.put(store, b"j", "1", [[1]], 1)
    assert store.kept == before


def test_an_order_is_searched_only_when_its_leader_goes():
    class Counting(MemoryStore):
        seeks = 0

        def edge(self, *args, **kwargs):
            self.seeks += 1
            return super().edge(*args, **kwargs)

    low = Aggregate("low", "min", 0, "bigint", "bigint")
    groups, store = Groups([low]), Counting()
    for number in range(50):
        groups.put(store, b"i%d" % number, "1", [[100 + number]], number)
    for number in range(1, 50):
        groups.retract(store, b"i%d" % number, "2")
    assert store.seeks == 0
    groups.put(store, b"j", "1", [[200]], 60)
    assert groups.retract(store, b"i0", "2").columns == {"low": 200}
    assert store.seeks == 1
