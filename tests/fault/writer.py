"""Changes to one table of the fake, at a rate, from a thread."""

from __future__ import annotations

import random
import threading
import time
from typing import Self

from tests.fakes.dynamodb import World


class Writer:
    """Writes to the table from a thread, until enough was written."""

    def __init__(self, world: World, table: str, changes: int, rate_per_s: float) -> None:
        self._world, self._table = world, table
        self._changes, self._rate = changes, rate_per_s
        self.written = 0
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._draw = random.Random(5)

    def _run(self) -> None:
        begun = time.monotonic()
        for number in range(self._changes):
            key = {"id": {"S": f"item-{self._draw.randrange(150)}"}}
            if self._draw.random() < 0.15:
                self._world.delete(self._table, key)
            else:
                self._world.put(self._table, {**key, "n": {"N": str(number)}})
            self.written = number + 1
            ahead_s = number / self._rate - (time.monotonic() - begun)
            if ahead_s > 0.01:
                time.sleep(ahead_s)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join(600)

    @property
    def busy(self) -> bool:
        return self._thread.is_alive()
