"""A current dataset is a view of the source's items: what each change means for it."""

import pytest

from bridge.wire.errors import ConfigurationError, WireError
from tests.unit.processors.build import change, compiled

OPEN = {"id": {"S": "i-1"}, "status": {"S": "open"}}
DONE = {"id": {"S": "i-1"}, "status": {"S": "done"}}
KEY = '{"id":{"S":"i-1"}}'
STATUS = "dynamodb.NewImage.status.S"


@pytest.fixture
def everything():
    return compiled(lambda s: s.select("eventName", f"{STATUS} as status"))


@pytest.fixture
def only_open():
    return compiled(lambda s: s.filter(f"{STATUS} = 'open'").select(STATUS))


@pytest.mark.parametrize("name", ["INSERT", "MODIFY", "READ"])
def test_an_image_is_an_upsert_under_the_items_key(everything, name):
    evaluation = everything.evaluate(change(name, new=OPEN))
    assert evaluation.rows == ((KEY, {"eventName": name, "status": "open"}),)
    assert not evaluation.vanished


def test_only_remove_deletes_and_needs_no_image(everything):
    evaluation = everything.evaluate(change("REMOVE", keys=OPEN and {"id": {"S": "i-1"}}))
    assert evaluation.vanished
    assert evaluation.rows == ()


@pytest.mark.parametrize("name", ["INSERT", "MODIFY", "READ"])
def test_an_image_that_must_be_there_is_an_error(everything, name):
    with pytest.raises(WireError, match=f"{name} without NewImage"):
        everything.evaluate(change(name, old=OPEN))


def test_an_unknown_event_is_an_error(everything):
    with pytest.raises(WireError, match="unknown eventName"):
        everything.evaluate(change("UPSERT", new=OPEN))


@pytest.mark.parametrize("keys", [{}, {"id": {"M": {}}}, {"id": {"N": "x"}}, None])
def test_unusable_keys_are_an_error(everything, keys):
    damaged = change("REMOVE", keys={"id": {"S": "x"}})
    damaged["dynamodb"]["Keys"] = keys
    with pytest.raises(WireError):
        everything.evaluate(damaged)


def test_a_match_is_an_upsert_whatever_was_before(only_open):
    for old in (OPEN, DONE, None):
        assert only_open.evaluate(change("MODIFY", new=OPEN, old=old)).rows


@pytest.mark.parametrize(
    ("old", "retracts"),
    [(OPEN, True), (DONE, False), (None, True), ({"id": {"S": "i-1"}}, False)],
)
def test_no_match_retracts_unless_the_old_image_shows_it_did_not_match(only_open, old, retracts):
    evaluation = only_open.evaluate(change("MODIFY", new=DONE, old=old))
    assert evaluation.rows == ()
    assert evaluation.vanished is retracts


@pytest.mark.parametrize("name", ["INSERT", "READ"])
def test_an_item_seen_first_without_match_has_nothing_to_retract(only_open, name):
    evaluation = only_open.evaluate(change(name, new=DONE))
    assert evaluation.rows == ()
    assert not evaluation.vanished


def test_an_old_image_that_can_not_be_judged_retracts():
    flow = compiled(lambda s: s.filter("dynamodb.NewImage.n.N > 5").select("eventID"))
    new, old = {"id": {"S": "1"}, "n": {"N": "1"}}, {"id": {"S": "1"}, "n": {"N": "many"}}
    assert flow.evaluate(change("MODIFY", new=new, old=old)).vanished


def test_remove_retracts_also_what_no_longer_matched(only_open):
    assert only_open.evaluate(change("REMOVE", old=DONE)).vanished


@pytest.mark.parametrize(
    ("condition", "name", "applied"),
    [
        ("eventName = 'INSERT'", "INSERT", True),
        ("eventName = 'INSERT'", "MODIFY", False),
        ("eventName = 'INSERT'", "READ", True),
        ("eventName = 'MODIFY'", "READ", False),
        ("eventName = 'READ'", "READ", True),
        ("eventName <> 'REMOVE'", "REMOVE", True),
        ("dynamodb.OldImage.status.S = 'open'", "MODIFY", True),
        ("dynamodb.OldImage.status.S = 'done'", "MODIFY", False),
    ],
)
def test_a_condition_on_the_event_alone_decides_whether_it_is_applied(condition, name, applied):
    flow = compiled(lambda s: s.filter(condition).select(STATUS))
    old = OPEN if name in ("MODIFY", "REMOVE") else None
    new = DONE if name != "REMOVE" else None
    evaluation = flow.evaluate(change(name, new=new, old=old))
    assert evaluation.applied is applied
    if not applied:
        assert evaluation.rows == ()
        assert not evaluation.vanished


def test_event_and_item_joined_by_and_are_judged_apart():
    condition = f"eventName = 'MODIFY' and {STATUS} = 'open'"
    flow = compiled(lambda s: s.filter(condition).select(STATUS))
    assert not flow.evaluate(change("INSERT", new=OPEN)).applied
    assert flow.evaluate(change("MODIFY", new=DONE, old=OPEN)).vanished


def test_event_conditions_behind_a_select_are_found_through_its_columns():
    flow = compiled(lambda s: s.select("eventName as kind", STATUS).filter("kind = 'INSERT'"))
    assert not flow.evaluate(change("MODIFY", new=OPEN)).applied


def test_columns_that_describe_the_event_are_known():
    flow = compiled(
        lambda s: s.select(
            "eventID",
            "dynamodb.SequenceNumber as n",
            "dynamodb.OldImage.status.S as before",
            "dynamodb.Keys.id.S",
            f"{STATUS} as now",
        )
    )
    assert flow.event_columns == {"eventID", "n", "before"}


def test_expected_rows_of_a_scanned_item(only_open):
    assert only_open.expected(OPEN, ["id"]) == [(KEY, {"status": "open"})]
    assert only_open.expected(DONE, ["id"]) == []


def test_hash_and_range_number_and_binary_keys(everything):
    keys = {"z": {"N": "1.50"}, "a": {"B": "AAE="}}
    ((key, _),) = everything.evaluate(change("READ", new=keys | OPEN, keys=keys)).rows
    assert key == '{"a":{"B":"AAE="},"z":{"N":"1.5"}}'


def test_old_images_that_the_stream_does_not_have_are_refused():
    flow = compiled(lambda s: s.select("dynamodb.OldImage.status.S as before", STATUS))
    record = change("MODIFY", new=OPEN)
    record["dynamodb"]["StreamViewType"] = "NEW_IMAGE"
    with pytest.raises(ConfigurationError, match="NEW_AND_OLD_IMAGES"):
        flow.evaluate(record)


def test_the_schema_names_types_and_key(only_open):
    flow = compiled(
        lambda s: s.select(
            "dynamodb.NewImage.id.S",
            "dynamodb.NewImage.n.N",
            "cast(dynamodb.NewImage.n.N as decimal(18,2)) as price",
            "dynamodb.NewImage.m.M",
        ),
        key=["id"],
    )
    assert [(c.name, c.type) for c in flow.schema.columns] == [
        ("id", "string"),
        ("n", "decimal(38,18)"),
        ("price", "decimal(18,2)"),
        ("m", "json"),
    ]
    assert flow.schema.key == ("id",)
    assert only_open.schema.key == ()
