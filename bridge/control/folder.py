"""The folder of a run: broker data, state, logs and lake, used by one run at a time."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bridge.wire.errors import ConfigurationError

_MARK = ".tailrace-run"
# What a run puts there and may take away again.
PARTS = ("broker", "state", "lake", "logs")


def fresh_folder(prefix: str) -> Path:
    """A new folder of our own."""
    return Path(tempfile.mkdtemp(prefix=prefix))


@contextlib.contextmanager
def held(folder: Path, *, empty: bool = False) -> Iterator[Path]:
    """Hold the folder for this run.

    With `empty` what an earlier run of ours left there is removed first; a folder with anything
    else in it is refused.

    Raises:
        ConfigurationError: another run holds it, it can't be used, or it holds other things.
    """
    folder = folder.absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if empty and any(folder.iterdir()) and not (folder / _MARK).exists():
            raise ConfigurationError(
                "it is not empty", where=str(folder), remedy="Name a folder that does not exist yet"
            )
        mark = os.open(folder / _MARK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise ConfigurationError(
            f"can't use it: {error.strerror}", where=str(folder), remedy="Name another folder"
        ) from None
    try:
        _lock(mark, folder)
        if empty:
            for part in PARTS:
                shutil.rmtree(folder / part, ignore_errors=True)
        yield folder
    finally:
        os.close(mark)


def _lock(mark: int, folder: Path) -> None:
    try:
        fcntl.flock(mark, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise ConfigurationError(
            "another run uses it", where=str(folder), remedy="End that run, or name another folder"
        ) from None
