"""A table as DescribeTable shows it, and what is refused about it."""

import pytest

from bridge.connector.tables import Table, check_view_type, table_of, update_command
from bridge.wire.errors import ConfigurationError

DESCRIBED = {
    "TableName": "orders",
    "KeySchema": [
        {"AttributeName": "line", "KeyType": "RANGE"},
        {"AttributeName": "id", "KeyType": "HASH"},
    ],
    "TableStatus": "ACTIVE",
    "TableSizeBytes": 10 * 512 * 1024 * 1024,
    "LatestStreamArn": "arn",
    "LatestStreamLabel": "2026-11-23T14:00:00.000",
    "StreamSpecification": {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
}


def table(view_type: str | None = "NEW_AND_OLD_IMAGES") -> Table:
    stream = {"StreamEnabled": True, "StreamViewType": view_type}
    return table_of({**DESCRIBED, "StreamSpecification": stream})


def test_the_hash_key_comes_first() -> None:
    assert table().key_names == ("id", "line")


def test_a_stream_that_was_turned_off_is_not_enabled() -> None:
    assert not table_of({**DESCRIBED, "StreamSpecification": {}}).enabled
    assert not table_of({**DESCRIBED, "StreamSpecification": None}).enabled
    bare = {k: v for k, v in DESCRIBED.items() if not k.startswith(("Latest", "Stream"))}
    assert not table_of(bare).enabled


def test_the_age_of_a_stream_is_in_its_label() -> None:
    begun_s = 1_795_442_400  # 2026-11-23T14:00:00Z
    assert table().stream_age_s(begun_s + 60) == pytest.approx(60)
    assert table_of({**DESCRIBED, "LatestStreamLabel": "x"}).stream_age_s(0) is None


def test_a_scan_has_a_segment_for_each_bucket_and_half_a_gigabyte() -> None:
    assert table().segments(8) == 10
    assert table_of({**DESCRIBED, "TableSizeBytes": 0}).segments(8) == 8
    assert table_of({**DESCRIBED, "TableSizeBytes": 10**15}).segments(8) == 1024


@pytest.mark.parametrize("view_type", ["KEYS_ONLY", "OLD_IMAGE"])
def test_view_types_without_the_new_image_are_refused(view_type: str) -> None:
    with pytest.raises(ConfigurationError, match=r"off and on again"):
        check_view_type(table(view_type), "table orders")


def test_a_stream_without_old_images_is_taken_with_a_warning() -> None:
    assert check_view_type(table(), "") is None
    assert "OldImage" in (check_view_type(table("NEW_IMAGE"), "") or "")


def test_the_command_names_the_endpoint_only_where_it_is_not_aws() -> None:
    aws = update_command("orders", "us-west-2", None)
    assert aws == (
        "aws dynamodb update-table --table-name orders --stream-specification "
        "StreamEnabled=true,StreamViewType=NEW_AND_OLD_IMAGES --region us-west-2"
    )
    assert update_command("t", "r", "http://x:1").endswith(" --endpoint-url http://x:1")
