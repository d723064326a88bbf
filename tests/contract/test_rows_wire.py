"""Golden rows: what the examples write for given changes, byte for byte, headers included.

The sink of the previous release reads these; a change here is a new wire version.
"""

from pathlib import Path

import orjson
import pytest

import processors.examples.order_lines
import processors.examples.orders
from bridge.wire.topics import TopicNames
from processors.loader import load_transforms
from processors.testing import Changes, Sent, TransformDriver

GOLDEN = Path(__file__).parent / "golden" / "rows"
EXAMPLES = {
    "orders": Path(processors.examples.orders.__file__),
    "order_lines": Path(processors.examples.order_lines.__file__),
}


def order(number, total, *lines, **more):
    listed = [{"line_no": no, "sku": f"sku-{no}", "quantity": 2, "price": total} for no in lines]
    return {"orderId": f"o-{number}", "orderTotal": total, "lines": listed, **more}


def changes():
    first, second = Changes(key=["orderId"], epoch=1_763_907_400), Changes(key=["orderId"])
    second.epoch = 1_763_990_000
    one = order(1, 12, 1, 2, customerEmail="ä@example.com", status="open")
    one_later = order(1, 13, 2, status="done")
    return [
        first.read(one),
        first.insert(order(2, -5)),
        first.modify(one_later, one),
        first.sealed("orders"),
        first.remove(order(2, -5)),
        first.insert(order(3, 10**21, 1)),  # total and price fit no column: a dead letter
        Sent(b"k", b"junk"),
        second.read(one),
        second.sealed("orders"),
        first.modify(one_later, one),  # older than the seal
    ]


def written(name: str) -> bytes:
    with TransformDriver(load_transforms(EXAMPLES[name])[0]) as driver:
        driver.send(*changes())
        lines = [
            {
                "topic": message.topic,
                "key": (message.key or b"").decode(),
                "value": (message.value or b"").decode(),
                "partition": message.partition,
                "headers": [
                    [header, value.decode()]
                    for header, value in message.headers
                    if header != "dlq.traceback"
                ],
            }
            for message in driver.written
        ]
    return b"".join(orjson.dumps(line) + b"\n" for line in lines)


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_what_the_examples_write_is_the_golden_file(name):
    assert written(name) == (GOLDEN / f"{name}.jsonl").read_bytes()


def test_no_golden_file_is_left_over():
    assert {path.stem for path in GOLDEN.iterdir()} == set(EXAMPLES)


def test_the_topic_of_descriptions():
    assert TopicNames("ns").transforms == "ns._transforms"
