"""A folder of transforms is looked at while its stage runs: a file that comes along is taken in.

So a transform is added, or taken away, without a restart of the container that holds connector or
sink. A folder that can't be loaded changes nothing: the stage goes on with what it had and says so.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

from bridge.control.plan import Plan, load_plan, split_target, transform_files
from bridge.wire.errors import ConfigurationError

logger = logging.getLogger(__name__)

_LOOK_S = 1.0

Marks = Mapping[Path, tuple[int, int, int]]
"""By file: what tells that it was written anew."""


@contextlib.contextmanager
def watched(
    kind: str, target: str, stop: threading.Event
) -> Iterator[tuple[Plan, threading.Event]]:
    """The plan of the target, and an event: told to stop, or this stage has other work now.

    Only connector and sink of a folder are watched; for all others the event is `stop`.

    Raises:
        ConfigurationError: the target can't be loaded.
    """
    path, _ = split_target(target)
    if kind == "processor" or not path.is_dir():
        yield load_plan(target), stop
        return
    before = marks(path)
    plan = load_plan(target)
    ended, over = threading.Event(), threading.Event()
    watcher = _Watcher(kind, target, path, before, plan)

    def watch() -> None:
        while not over.is_set() and not stop.wait(_LOOK_S):
            if watcher.changed():
                break
        ended.set()

    thread = threading.Thread(target=watch, name="transforms-folder", daemon=True)
    thread.start()
    try:
        yield plan, ended
    finally:
        over.set()
        thread.join()


class _Watcher:
    def __init__(self, kind: str, target: str, folder: Path, known: Marks, plan: Plan) -> None:
        self._kind = kind
        self._target = target
        self._folder = folder
        self._known = known
        self._seen = known
        self._work = work(kind, plan)

    def changed(self) -> bool:
        """Whether there is other work. A file is believed once it is the same at two looks."""
        now = marks(self._folder)
        settled, self._seen = now == self._seen, now
        if not settled or now == self._known:
            return False
        self._known = now
        try:
            return work(self._kind, load_plan(self._target)) != self._work
        except ConfigurationError as error:
            logger.error("goes on with the transforms it has", extra={"cause": str(error)})  # noqa: TRY400
            return False


def marks(folder: Path) -> Marks:
    """The folder's transform files as they are now."""
    found = {}
    for path in transform_files(folder):
        with contextlib.suppress(OSError):  # gone since it was listed
            stat = path.stat()
            found[path] = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
    return found


def work(kind: str, plan: Plan) -> object:
    """What of a plan concerns a connector or a sink: tables to read, or datasets to keep.

    Raises:
        ConfigurationError: two declarations of one table differ.
    """
    if kind == "connector":
        return sorted(plan.sources, key=lambda source: source.table_name)
    return {feed.dataset.id: (feed.dataset, feed.tables) for feed in plan.feeds}
