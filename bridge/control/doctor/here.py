"""This process: Python, packages, the folder for state."""

from __future__ import annotations

import os
import platform
import sys
import uuid
from collections.abc import Iterator
from functools import partial
from importlib import metadata
from typing import TYPE_CHECKING

from bridge.control.doctor.model import Check, Finding, look, not_tried, ok, problem, warning

if TYPE_CHECKING:
    from bridge.control.settings import Settings

_AREA = "here"
_STAGES = ("connector", "processor", "sink", "ui")


def checks(settings: Settings) -> Iterator[Check]:
    """Whether the stages can run here."""
    yield look(_AREA, "Python", _python)
    for extra in ("", *_STAGES):
        what = f"packages of {extra}" if extra else "packages"
        yield look(_AREA, what, partial(_packages, extra))
    yield look(_AREA, "folder for state", lambda: _state_folder(settings))


def _python() -> Finding:
    from confluent_kafka import libversion

    where = f"{platform.system()} {platform.machine()}, librdkafka {libversion()[0]}"
    return ok(f"Python {platform.python_version()} at {sys.prefix}, {where}")


def _packages(extra: str) -> Finding:
    """Against what the installed distribution asks for, under this extra."""
    from packaging.requirements import Requirement

    missing, wrong, found = [], [], []
    for text in metadata.requires("tailrace") or ():
        needed = Requirement(text)
        if not (needed.marker.evaluate({"extra": extra}) if needed.marker else not extra):
            continue
        try:
            version = metadata.version(needed.name)
        except metadata.PackageNotFoundError:
            missing.append(needed.name)
            continue
        found.append(f"{needed.name} {version}")
        if not needed.specifier.contains(version, prereleases=True):
            wrong.append(f"{needed.name} {version}, which has to be {needed.specifier}")
    if wrong:
        return problem("; ".join(wrong), f"pip install 'tailrace[{extra or 'all'}]'")
    if missing and extra:
        # An image of one stage has its own packages only.
        return not_tried(f"not installed here: {', '.join(missing)}")
    if missing:
        return problem(f"not installed: {', '.join(missing)}", "pip install tailrace")
    return ok(", ".join(found))


def _state_folder(settings: Settings) -> Finding:
    folder = settings.state_dir
    probe = folder / f".doctor-{uuid.uuid4().hex[:8]}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"x")
        probe.unlink()
    except OSError as error:
        return problem(
            f"{folder} can't be written: {error.strerror}",
            "Set TAILRACE_STATE_DIR to a folder a processor may write",
        )
    free = os.statvfs(folder)
    free_gb = free.f_bavail * free.f_frsize / 1e9
    if free_gb < 1:
        return warning(f"{folder}: {free_gb:.1f} GB free", "Make room for the processors' state")
    return ok(f"{folder}, {free_gb:,.0f} GB free")
