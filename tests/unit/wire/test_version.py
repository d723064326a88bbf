"""The one order: text order of versions is number order within an epoch, epochs first."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.wire.errors import WireError
from bridge.wire.version import decode_version, encode_version, epoch_floor, next_epoch

epochs = st.integers(1, 10**10 - 1)
sequences = st.integers(0, 10**40 - 1)


@given(st.tuples(epochs, sequences), st.tuples(epochs, sequences))
def test_text_order_is_number_order(left, right):
    assert (encode_version(*left) < encode_version(*right)) == (left < right)


@given(epochs, sequences)
def test_a_version_reads_back(epoch, sequence):
    text = encode_version(epoch, sequence)
    assert len(text) == 51
    assert decode_version(text) == (epoch, sequence)


def test_sequence_numbers_that_grow_in_length_stay_in_order():
    # A lineage as AWS hands it out: the raw text sorts wrongly.
    lineage = [
        "20500000000000000910398",
        "820400000000000001192334",
        "1683700000000000001135967",
    ]
    assert sorted(lineage) != lineage
    versions = [encode_version(7, sequence) for sequence in lineage]
    assert sorted(versions) == versions


def test_a_snapshot_row_is_below_every_stream_change_of_its_epoch_and_above_older_epochs():
    assert encode_version(6, "9" * 40) < epoch_floor(7) < encode_version(7, 1)


@pytest.mark.parametrize(("epoch", "sequence"), [(0, 1), (10**10, 1), (1, 10**40), (1, -1)])
def test_what_does_not_fit_is_refused(epoch, sequence):
    with pytest.raises(WireError):
        encode_version(epoch, sequence)


@pytest.mark.parametrize("text", ["", "1.2", "x" * 10 + "." + "0" * 40, "0" * 51])
def test_other_text_is_not_a_version(text):
    with pytest.raises(WireError, match="is not a version"):
        decode_version(text)


def test_epochs_rise_even_when_the_clock_steps_back_or_kafka_forgot():
    assert next_epoch(None, 1763907404.9) == 1763907404
    assert next_epoch(1763907404, 1763907000.0) == 1763907405
    assert next_epoch(5, 1763907404.0) == 1763907404
