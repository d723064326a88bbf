"""What goes wrong and what is changed in the middle of the demo: three poison orders, a redeployed
transform that can take them and has a column more, and their replay.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bridge.wire.errors import ConfigurationError

if TYPE_CHECKING:
    from bridge.control.settings import Settings
    from bridge.control.workload import Item

_TOTAL = '"dynamodb.NewImage.orderTotal.N as order_total",'
_ROUNDED = '"cast(dynamodb.NewImage.orderTotal.N as decimal(38,18)) as order_total",'
_COUPON = '"dynamodb.NewImage.couponCode.S as coupon_code",'
# As a program writes them that computes with binary floating point and prints every digit.
_TOTALS = ("19.99000000000000198951966012828", "0.1000000000000000055511151231257827", "7.3E-30")


def poison() -> list[Item]:
    """Orders whose totals have more decimals than decimal(38,18) can hold exactly."""
    return [
        {
            "orderId": {"S": f"o-float-{number}"},
            "customerEmail": {"S": f"float{number}@example.com"},
            "orderTotal": {"N": total},
            "status": {"S": "PLACED"},
        }
        for number, total in enumerate(_TOTALS, 1)
    ]


def write_revision(original: Path, folder: Path) -> Path:
    """The example with totals rounded and a column `coupon_code`, as a file in `folder`.

    Raises:
        ConfigurationError: the example does not select the total as it did.
    """
    text = original.read_text(encoding="utf-8")
    if text.count(_TOTAL) != 1:
        raise ConfigurationError("order_total is not selected as expected", where=str(original))
    path = folder / original.name
    path.write_text(text.replace(_TOTAL, f"{_ROUNDED}\n        {_COUPON}"), encoding="utf-8")
    return path


def replay_all(settings: Settings, transform: str) -> int:
    """Put all open dead letters of a transform back; how many.

    Raises:
        TailraceError: Kafka does not answer.
    """
    from bridge.control.letters import Selection, partitions_of
    from bridge.control.replay import replay

    kafka = settings.kafka_config()
    partitions = partitions_of(kafka, transform)
    return replay(kafka, transform, partitions, Selection(everything=True), dry_run=False).done
