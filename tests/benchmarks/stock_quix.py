"""The same by Quix Streams as its documentation shows it: one function, bytes in and out.

`python -m tests.benchmarks.stock_quix JSON`. Values stay bytes, the function is one closure and
state is bytes: the quickest way through its public interface.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from processors.quix import Application
from tests.benchmarks import by_hand


def main(options: dict[str, Any]) -> None:
    """Until it is killed."""
    from quixstreams import State, message_context

    application = Application(
        broker_address=options["brokers"],
        consumer_group=options["group"],
        auto_offset_reset="earliest",
        processing_guarantee="exactly-once",
        commit_interval=options["interval_s"],
        state_dir=options["state_dir"],
        loglevel="WARNING",
        consumer_extra_config=options["consumer"],
        producer_extra_config=options["producer"],
    )
    fingerprint = options["fingerprint"]

    def lines(value: bytes, state: State) -> list[bytes]:
        found = by_hand.lines(value, state.get_bytes("item"))
        if found is None:
            return []
        rows, remembered = found
        state.set_bytes("item", remembered)
        return rows

    def headers(*_: Any) -> by_hand.Headers:
        return by_hand.headers_of(fingerprint, message_context().offset)

    frame = application.dataframe(application.topic(options["topic"], value_deserializer="bytes"))
    if options["task"] == "select":
        frame = frame.apply(by_hand.select)
    else:
        frame = frame.apply(lines, stateful=True, expand=True)
    frame = frame.set_headers(headers)
    frame.to_topic(application.topic(options["rows"], value_serializer="bytes"))
    application.run()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
