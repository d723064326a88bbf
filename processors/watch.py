"""What a thread beside the application's sees: that it is to stop, and why it may have been fenced.

It is to stop when it is told to, and when its generation has ended.

A member that heard nothing for a session's length was removed from its group, and its transaction
was aborted: it was cut off, nobody runs under its name, and it may begin again by itself. One whose
whole process stood still can't tell that: a successor under its name may have been started.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from bridge.wire.kafka import SESSION_TIMEOUT_MS
from bridge.wire.pulse import INTERVAL_MS
from processors.application import ProcessorApplication

_TICK_S = 0.1
# A thread that wakes this late was not merely busy: the process was stopped.
_FROZEN_S = 5.0
# The last answer is seen up to an interval after it came, so the session may be over before as much
# silence was seen; a tick more, because both clocks are read now and then.
_SILENT_S = (SESSION_TIMEOUT_MS - INTERVAL_MS) / 1000 - 0.5


class Watch:
    """Stops the application when `stop` is set, whenever its loop begins; for a `with`.

    Args:
        application: which.
        stop: set from outside.
        retired: whether the application has no more work, asked often.
    """

    def __init__(
        self,
        application: ProcessorApplication,
        stop: threading.Event,
        retired: Callable[[], bool] = lambda: False,
    ) -> None:
        self._application = application
        self._stop = stop
        self._retired = retired
        self._over = threading.Event()
        self._silent_s = 0.0
        self._late_s = 0.0
        self._thread = threading.Thread(target=self._run, name="processor-watch", daemon=True)

    @property
    def cut_off(self) -> bool:
        """Whether Kafka was silent for a session's length while the process itself ran."""
        return self._silent_s >= _SILENT_S and self._late_s < _FROZEN_S

    def _run(self) -> None:
        while not self._over.is_set():
            before = time.monotonic()
            stopping = self._stop.wait(_TICK_S)
            self._late_s = max(self._late_s, time.monotonic() - before)
            self._silent_s = max(self._silent_s, self._application.pulse.silent_s)
            if stopping or self._retired():
                # A stop before the loop has begun would be forgotten: say it until it is over.
                self._application.stop()
                self._over.wait(_TICK_S)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()
