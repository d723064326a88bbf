"""The schemas the rows of one dataset name by fingerprint, read from `_schemas` when one is new."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping

from bridge.wire.kafka import KafkaConfig
from bridge.wire.schemas import Schema, read_schemas

ASK_AGAIN_S = 2.0


class SchemaBook:
    """Schemas known so far; grows when an unknown fingerprint is asked for."""

    def __init__(self, kafka: KafkaConfig, dataset: str) -> None:
        self._kafka = kafka
        self._dataset = dataset
        self._known: dict[str, Schema] = {}
        self._asked_at_s: dict[str, float] = {}

    @property
    def known(self) -> Mapping[str, Schema]:
        """By fingerprint."""
        return self._known

    def of_dataset(self) -> Iterable[Schema]:
        """Every known schema."""
        return self._known.values()

    def find(self, fingerprint: str) -> Schema | None:
        """The schema as far as it is known, without asking Kafka."""
        return self._known.get(fingerprint)

    def knows(self, fingerprint: str) -> bool:
        """Whether the schema is known, after reading `_schemas` to its end if it was not.

        One that stays unknown asks Kafka at most every two seconds.

        Raises:
            BrokerUnreachableError: Kafka does not answer.
        """
        if fingerprint in self._known:
            return True
        now_s = time.monotonic()
        if now_s - self._asked_at_s.get(fingerprint, float("-inf")) < ASK_AGAIN_S:
            return False
        self._asked_at_s[fingerprint] = now_s
        self.read()
        return fingerprint in self._known

    def read(self) -> None:
        """Read the topic to its end."""
        self._known.update(
            (fingerprint, schema)
            for fingerprint, schema in read_schemas(self._kafka).items()
            if schema.dataset == self._dataset
        )
