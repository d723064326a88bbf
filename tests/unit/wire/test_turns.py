"""A loop that does not come back is told of, one that has nothing to do is not."""

from __future__ import annotations

from bridge.wire.turns import STALLED_S, Turns


def test_a_loop_that_hangs_says_at_what_and_for_how_long():
    now = [100.0]
    turns = Turns(lambda: now[0])
    assert turns.problem is None and not turns.busy
    turns.turn("a commit")
    now[0] += STALLED_S
    assert turns.problem is None
    now[0] += 1
    assert turns.problem == "a commit takes 31 s already"
    turns.turn("reading")
    assert turns.problem is None and turns.busy
    now[0] += 1000
    turns.rest()
    assert turns.problem is None and not turns.busy
