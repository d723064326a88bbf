"""Images once, and one stack for all tests of it: they build on one another's state."""

from __future__ import annotations

import contextlib
import fcntl
import os
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.containers import images
from tests.containers.engine import docker
from tests.containers.stack import Stack

STAGE_IMAGES = ("connector", "processor", "sink")


@contextlib.contextmanager
def alone(factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One process of a run makes images at a time; what it leaves in the folder tells the next."""
    own = factory.getbasetemp()
    shared = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
    with (shared / "images.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield shared


@pytest.fixture(scope="session")
def base(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """What our images stand on: the one of `--base-image`, or else made on the spot."""
    chosen: str | None = request.config.getoption("--base-image")
    if chosen:
        return chosen
    with alone(tmp_path_factory) as shared:
        made = shared / "base-image"
        if not made.exists():
            made.write_text(images.made_base())
        return made.read_text()


@pytest.fixture(scope="session")
def built(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, base: str
) -> dict[str, str]:
    """By target: its image. The stand-ins' is made meanwhile. Made before, it costs seconds."""
    docker("version")
    with alone(tmp_path_factory), ThreadPoolExecutor() as pool:
        pulled = request.config.getoption("--pull-third-parties")
        others = None if pulled else pool.submit(images.stand_ins, base)
        # The engine builds at once what this one is put together from: the others.
        found = {name: images.built(name, base) for name in ("control", *STAGE_IMAGES)}
        if others is not None:
            others.result()
    return found


@pytest.fixture(scope="module")  # what goes on running takes half a core from the other tests
def stack(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    built: dict[str, str],
) -> Iterator[Stack]:
    """The running example, up and healthy."""
    stand_ins = not request.config.getoption("--pull-third-parties")
    project = f"tailrace-test-{uuid.uuid4().hex[:6]}"
    made = Stack(tmp_path_factory.mktemp("stack"), project, stand_ins=stand_ins)
    before = request.session.testsfailed
    try:
        made.up()
        yield made
    finally:
        if request.session.testsfailed > before or not made.started:
            print(made.logs())
        made.down()
