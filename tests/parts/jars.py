"""Java parts from Maven Central: fetched once per machine, kept in the user's cache.

`python -m tests.parts.jars` fetches all of them ahead of a test run. A slow network is asked
again, a clear refusal is not.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.parts.process import PartFailedError

POMS = Path(__file__).with_name("poms")
ATTEMPTS_MAX = 3
ATTEMPT_TIMEOUT_S = 300
_GOAL = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
_SLOW = re.compile(r"timed out|timeout|connection reset|premature end|temporarily", re.IGNORECASE)


def jars(part: str) -> Path:
    """The folder with the jars and native libraries of `poms/<part>.xml`, fetched if need be.

    Raises:
        PartFailedError: Maven is absent or could not fetch them.
    """
    pom = POMS / f"{part}.xml"
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tailrace" / "jars"
    folder = cache / f"{part}-{hashlib.sha256(pom.read_bytes()).hexdigest()[:12]}"
    cache.mkdir(parents=True, exist_ok=True)
    with _locked(cache / f"{part}.lock"):
        if not folder.exists():
            _fetch(pom, folder)
    return folder


def _fetch(pom: Path, folder: Path) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise PartFailedError(f"Maven is needed to fetch {pom.stem}: apt-get install maven")
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        target = Path(scratch) / "jars"
        command = [maven, "-q", "-B", "-U", "-f", str(pom), _GOAL]
        command += [f"-DoutputDirectory={target}", "-DincludeScope=runtime"]
        for attempt in range(1, ATTEMPTS_MAX + 1):
            problem = _run(command)
            if problem is None:
                # Renamed into place, so that a folder that exists is complete.
                target.rename(folder)
                return
            if attempt == ATTEMPTS_MAX or not _SLOW.search(problem):
                raise PartFailedError(f"Maven could not fetch {pom.stem}:\n{problem[-3000:]}")


def _run(command: list[str]) -> str | None:
    """What went wrong, None if nothing did."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=ATTEMPT_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        return f"timed out after {ATTEMPT_TIMEOUT_S} s"
    return None if done.returncode == 0 else done.stdout + done.stderr


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def main() -> None:
    for pom in sorted(POMS.glob("*.xml")):
        print(f"{pom.stem}: {len(list(jars(pom.stem).iterdir()))} files")


if __name__ == "__main__":
    main()
