"""Installs what one extra of pyproject.toml needs, at the versions and hashes of requirements.lock.

`python install.py VENV EXTRA` in a folder with both files; its own pip does the work. The lock has
every package of every extra: pip is asked first which of them this extra takes on this machine,
then told to install those, and refuses whatever has another hash.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path

ENTRY = re.compile(r"^(?=[A-Za-z0-9])", re.MULTILINE)
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
OWN = re.compile(r"tailrace\[([^]]*)\]")


def requirements(project: dict, extra: str) -> Iterator[str]:
    """What the project and this extra ask for; an extra that names others brings theirs along."""
    yield from project["dependencies"]
    for text in project["optional-dependencies"][extra]:
        if own := OWN.fullmatch(text):
            for other in own[1].split(","):
                yield from requirements(project, other.strip())
        else:
            yield text


def canonical(name: str) -> str:
    """One spelling of a package's name."""
    return re.sub(r"[-_.]+", "-", name).lower()


def chosen(wanted: list[str], constraints: str, python: str) -> set[str]:
    """The packages pip would install, by name."""
    with tempfile.TemporaryDirectory() as scratch:
        pinned, report = Path(scratch) / "constraints.txt", Path(scratch) / "report.json"
        pinned.write_text(constraints)
        pip(python, "--dry-run", "--report", str(report), "-c", str(pinned), *wanted)
        installed = json.loads(report.read_text())["install"]
    return {canonical(entry["metadata"]["name"]) for entry in installed}


def pip(python: str, *arguments: str) -> None:
    """`pip install` into the virtual environment."""
    command = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet"]
    subprocess.run([*command, "--disable-pip-version-check", *arguments], check=True)


def main(venv: str, extra: str) -> None:
    """Install."""
    python = f"{venv}/bin/python"
    project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
    lock = Path("requirements.lock").read_text()
    entries = [entry for entry in ENTRY.split(lock) if not entry.startswith("#")]
    pins = "".join(re.sub(r"\\?\s*--hash=\S+\s*", "", entry).strip() + "\n" for entry in entries)
    names = chosen([*requirements(project, extra)], pins, python)
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as subset:
        subset.writelines(e for e in entries if canonical(NAME.match(e)[0]) in names)
        subset.flush()
        pip(python, "--require-hashes", "--no-deps", "-r", subset.name)


if __name__ == "__main__":
    main(*sys.argv[1:])
