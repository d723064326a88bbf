"""The Docker engine of this machine, by its own commands; one that does not answer is a failure."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.parts.process import PartFailedError


def run(
    command: Sequence[str],
    *,
    timeout_s: float = 300,
    environment: Mapping[str, str] | None = None,
    feed: str | None = None,
) -> str:
    """Standard output of a command that works.

    Raises:
        PartFailedError: it does not, or not in time; with the end of what it said.
    """
    try:
        done = subprocess.run(
            command,
            input=feed,
            stdin=subprocess.DEVNULL if feed is None else None,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
            env={**os.environ, "DOCKER_BUILDKIT": "1", **(environment or {})},
        )
    except FileNotFoundError as error:
        raise PartFailedError(f"{command[0]} is not installed") from error
    except subprocess.TimeoutExpired as error:
        raise PartFailedError(f"{' '.join(command)}: not done within {timeout_s:g} s") from error
    if done.returncode != 0:
        said = (done.stdout + done.stderr)[-4000:]
        raise PartFailedError(f"{' '.join(command)}: exit code {done.returncode}\n{said}")
    return done.stdout


def docker(*arguments: str, timeout_s: float = 300) -> str:
    """`docker ARGUMENTS`."""
    return run(["docker", *arguments], timeout_s=timeout_s).strip()


def inspect(name: str) -> dict[str, Any]:
    """What the engine knows of a container or image."""
    found: list[dict[str, Any]] = json.loads(docker("inspect", name))
    return found[0]


def compose_command() -> list[str]:
    """Compose: the engine's plug-in, or Debian's program of its own.

    Raises:
        PartFailedError: there is neither.
    """
    plugin = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)
    if plugin.returncode == 0:
        return ["docker", "compose"]
    if shutil.which("docker-compose"):
        return ["docker-compose"]
    raise PartFailedError("no docker compose here: apt-get install docker-compose")


def copied(source: Path, target: Path) -> Path:
    """A folder's copy, for tests that write into it."""
    shutil.copytree(source, target)
    return target
