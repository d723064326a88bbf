"""The lock file has every package pyproject asks for, at a version pyproject allows, hashed."""

import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
LOCK = (ROOT / "requirements.lock").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def asked() -> list[Requirement]:
    texts = [*PROJECT["dependencies"]]
    for extra in PROJECT["optional-dependencies"].values():
        texts += extra
    requirements = [Requirement(text) for text in texts]
    return [requirement for requirement in requirements if requirement.name != "tailrace"]


def locked() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, version in re.findall(r"^([A-Za-z0-9_.-]+)(?:\[[^]]*\])?==([^ ;\\]+)", LOCK, re.M):
        found.setdefault(canonicalize_name(name), []).append(version)
    return found


def test_every_requirement_is_locked_within_its_bounds():
    versions = locked()
    wrong = [
        str(requirement)
        for requirement in asked()
        if not any(
            requirement.specifier.contains(version)
            for version in versions.get(canonicalize_name(requirement.name), [])
        )
    ]
    assert not wrong


def test_every_locked_package_has_hashes():
    entries = re.split(r"^(?=[A-Za-z0-9])", LOCK, flags=re.M)[1:]
    assert len(entries) > 50
    assert not [entry.splitlines()[0] for entry in entries if "--hash=sha256:" not in entry]
