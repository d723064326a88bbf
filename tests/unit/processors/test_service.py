"""Errors of Quix and Kafka become one line with a remedy; health; folders; revisions."""

import contextlib
import threading

import pytest
from confluent_kafka import KafkaError, KafkaException

from bridge.wire.errors import BrokerUnreachableError, FencedError, GapError, TailraceError
from bridge.wire.kafka import KafkaConfig
from processors.compiled import compile_transform
from processors.explained import explained
from processors.folder import StateFolder
from processors.progress import Progress
from processors.quix import (
    InvalidStoreChangelogOffset,
    KafkaBrokerUnavailableError,
    KafkaConsumerException,
    KafkaProducerTransactionCommitFailed,
    PartitionAssignmentError,
)
from processors.revision import describe, differences
from processors.service import Processor, ProcessorConfig
from tests.unit.processors.build import declare


def assignment_error(cause):
    wrapped = PartitionAssignmentError("Error during partition assignment")
    wrapped.__cause__ = cause
    return wrapped


@pytest.mark.parametrize(
    ("raised", "expected", "fragment"),
    [
        (assignment_error(GapError("GAP", where="here")), GapError, "here: GAP"),
        (
            KafkaConsumerException(KafkaError(KafkaError._AUTO_OFFSET_RESET)),
            GapError,
            "the remedy",
        ),
        (KafkaException(KafkaError(KafkaError._FENCED)), FencedError, "TAILRACE_REPLICA"),
        (
            KafkaException(KafkaError(KafkaError.FENCED_INSTANCE_ID)),
            FencedError,
            "another process took over",
        ),
        (
            KafkaConsumerException(
                KafkaError(
                    KafkaError._FATAL,
                    "Fatal consumer error: Broker: Static consumer fenced by other consumer with "
                    "same group.instance.id",
                )
            ),
            FencedError,
            "another process took over",
        ),
        (
            KafkaConsumerException(KafkaError(KafkaError._FATAL, "Fatal error: odd")),
            BrokerUnreachableError,
            "odd",
        ),
        (InvalidStoreChangelogOffset("x"), TailraceError, "Delete the state directory"),
        (KafkaBrokerUnavailableError("down for 120 s"), BrokerUnreachableError, "down for 120 s"),
        (
            KafkaProducerTransactionCommitFailed("all attempts failed"),
            BrokerUnreachableError,
            "all attempts failed",
        ),
        (
            KafkaException(KafkaError(KafkaError._TRANSPORT)),
            BrokerUnreachableError,
            "TAILRACE_BROKERS",
        ),
        (assignment_error(RuntimeError("odd")), TailraceError, "unexpected RuntimeError"),
    ],
)
def test_what_ends_a_processor_is_one_line(raised, expected, fragment):
    with pytest.raises(TailraceError) as caught, explained("somewhere", "the remedy"):
        raise raised
    assert type(caught.value) is expected
    assert fragment in str(caught.value)


class Impatient(threading.Event):
    """Never waits."""

    def wait(self, timeout=None):
        return self.is_set()


@pytest.mark.parametrize(
    ("errors", "runs"),
    [
        (["silent", "silent at the start", None], 3),
        (["silent at the start"], 1),  # the process ends, its supervisor has patience
        (["wrong"], 1),
    ],
)
def test_who_got_no_answer_begins_again_once_it_had_begun(errors, runs):
    processor = object.__new__(Processor)
    processor._progress, processor._cut_off = Progress(since_s=0.0), False
    calls = iter(errors)
    counted = []

    def run_once(stop):
        counted.append(error := next(calls))
        processor._application = object() if error == "silent" else None
        if error is not None:
            kind = TailraceError if error == "wrong" else BrokerUnreachableError
            raise kind(error)

    processor._run_once = run_once
    ends_well = errors[-1] is None
    with contextlib.nullcontext() if ends_well else pytest.raises(TailraceError):
        processor.run(Impatient())
    assert len(counted) == runs


def test_a_fault_of_our_own_is_not_dressed_up():
    with pytest.raises(ZeroDivisionError), explained("somewhere", ""):
        raise ZeroDivisionError


def test_health_says_what_stalls_and_for_how_long():
    progress = Progress(since_s=90.0)
    assert progress.problem(95.0) == "starting for 5 s"
    progress.enter("waiting for topic t", 100.0)
    progress.enter("waiting for topic t", 130.0)
    assert progress.problem(140.0) == "waiting for topic t for 40 s"
    progress.enter("running", 150.0)
    assert progress.problem(180.0) is None
    assert progress.problem(181.0) == "no turn of the loop for 31 s"
    progress.beat(220.0)
    assert progress.problem(221.0) is None


def test_a_processor_that_does_not_compile_is_refused_at_once(tmp_path):
    config = ProcessorConfig(
        kafka=KafkaConfig(brokers="none:1"),
        transform=declare(lambda s: s.select("eventIDs")),
        state_dir=tmp_path,
    )
    with pytest.raises(TailraceError, match="Did you mean 'eventID'"):
        Processor(config)


def test_a_folder_that_another_holds_is_left_to_it(tmp_path):
    first, second = StateFolder(tmp_path), StateFolder(tmp_path)
    assert (first.path.name, second.path.name) == ("0", "1")
    first.close()
    third = StateFolder(tmp_path)
    assert third.path.name == "0"
    second.close()
    third.close()


def test_a_cleared_folder_is_still_ours(tmp_path):
    with contextlib.closing(StateFolder(tmp_path)) as folder:
        (folder.path / "group" / "live").mkdir(parents=True)
        (folder.path / "note").write_text("state")
        folder.clear()
        assert [entry.name for entry in folder.path.iterdir()] == ["owner.lock"]
        with contextlib.closing(StateFolder(tmp_path)) as other:
            assert other.path != folder.path


def description(chain, **options):
    return describe(compile_transform(declare(chain, **options)))


STATUS = "dynamodb.NewImage.status.S"


def test_added_columns_and_other_spellings_are_no_change():
    before = description(lambda s: s.filter(f"{STATUS} = 'a'").select("eventID"))
    now = description(lambda s: s.filter(f"({STATUS}=='a')").select(STATUS, "eventID"))
    assert differences(before, now) == []


@pytest.mark.parametrize(
    ("chain", "options", "fragment"),
    [
        (
            lambda s: s.select("eventName as eventID"),
            {},
            "column eventID of rows was eventID string",
        ),
        (lambda s: s.select("eventName"), {}, "column eventID of rows is gone"),
        (lambda s: s.filter("true").select("eventID"), {}, "steps of rows was []"),
        (lambda s: s.select("eventID"), {"dataset": "other"}, "dataset rows is not written"),
        (
            lambda s: s.select("eventID", "dynamodb.NewImage.id.S"),
            {"key": ["id"]},
            "key of rows was [], is ['id']",
        ),
    ],
)
def test_other_changes_are_named(chain, options, fragment):
    before = description(lambda s: s.select("eventID"))
    found = differences(before, description(chain, **options))
    assert any(fragment in line for line in found)


def test_the_spelling_of_descriptions_stays():
    """Deployed processors compare with what an earlier release wrote."""
    in_choices = f"({STATUS} in ('b', 'it''s'))"
    found = description(
        lambda s: (
            s.filter(f"eventName <> 'x' and ({STATUS} is null or {STATUS} in ('b', 'it''s'))")
            .explode('dynamodb.NewImage."odd list".L as e')
            .filter("not e.M.n.N between 1.50 and -2")
            .select(
                "dynamodb.Keys.id.S",
                "cast(e.M.n.N as decimal(9,2)) as n",
                "dynamodb.NewImage.l.L[3].BOOL as flag",
            )
        ),
        key=["id", "n"],
    )
    assert found == {
        "rows": {
            "table": "orders",
            "dataset": "rows",
            "key": ["id", "n"],
            "steps": [
                f"filter ((eventName <> 'x') and (({STATUS} is null) or {in_choices}))",
                'explode dynamodb.NewImage."odd list".L',
                "filter not ((element0.M.n.N >= 1.5) and (element0.M.n.N <= -2))",
            ],
            "columns": {
                "id": "dynamodb.Keys.id.S string",
                "n": "cast(element0.M.n.N as decimal(9,2)) decimal(9,2)",
                "flag": "dynamodb.NewImage.l.L[3].BOOL boolean",
            },
        }
    }
