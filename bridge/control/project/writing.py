"""`tailrace init`: a folder with a transform, cases for it, settings and a Compose file."""

from __future__ import annotations

import json
import re
from importlib import resources
from pathlib import Path
from typing import Final

from bridge.control.show import write_line
from bridge.wire.errors import ConfigurationError

# What suits a folder, a topic's name and, with underscores, a Python name.
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,79}")
_TABLE: Final = re.compile(r"[A-Za-z0-9_.-]{3,255}")  # DynamoDB's own rule
_REGION: Final = re.compile(r"[a-z0-9-]{1,40}")
_KEY: Final = re.compile(r'[^"\\\x00-\x1f{}]{1,255}')
_NAME_RULE: Final = "a letter, then at most 79 letters, digits, hyphens and underscores"
_TABLE_RULE: Final = (
    "3 to 255 letters, digits, hyphens, underscores and dots; --table where it is not NAME"
)
_REGION_RULE: Final = "one as in --region eu-central-1"
_KEY_RULE: Final = "ATTRIBUTE:S or ATTRIBUTE:N, as in --key orderId:S"
_BROKER: Final = "redpandadata/redpanda:v25.3.6"
_SAMPLES: Final = {"S": "k-1", "N": "1"}


def project(
    name: str, *, table: str | None = None, region: str | None = None, key: str = "id:S"
) -> dict[str, str]:
    """Every file of a new project: its path, from the project's folder, and its text.

    Args:
        name: of the folder and, with a prefix, of transform and dataset.
        table: the DynamoDB table; the project's name where it is left out.
        region: of the table; botocore's where it is left out.
        key: the table's hash key, `ATTRIBUTE:S` or `ATTRIBUTE:N`.

    Raises:
        ConfigurationError: one of them is no such name.
    """
    attribute, kind = _checked(name, table or name, region, key)
    stem = re.sub(r"\W", "_", name).lower()
    column = re.sub(r"\W", "_", attribute)
    values = {
        "name": name,
        "stem": stem,
        "service": stem.replace("_", "-"),
        "namespace": name.lower(),
        "table": table or name,
        "region": f", region={region!r}" if region else "",
        "function": f"process_{stem}",
        "dataset": f"processed_{stem}",
        "key": attribute,
        "key_type": kind,
        "key_column": column if not column[0].isdigit() and column[0] != "_" else f"key_{column}",
        "sample": _SAMPLES[kind],
        "broker": _BROKER,
    }
    texts = resources.files(__package__) / "files"
    return {
        path: texts.joinpath(source).read_text(encoding="utf-8").format(**values)
        for path, source in (
            (f"transforms/{stem}.py", "transforms/transform.py.in"),
            (f"transforms/{stem}.events.yaml", "transforms/transform.events.yaml.in"),
            ("tailrace.yaml", "tailrace.yaml.in"),
            ("compose.yaml", "compose.yaml.in"),
            (".gitignore", "gitignore.in"),
            ("README.md", "README.md.in"),
        )
    }


def _checked(name: str, table: str, region: str | None, key: str) -> tuple[str, str]:
    attribute, _, kind = key.rpartition(":")
    wrong = (
        (_NAME.fullmatch(name), f"{name!r} is no name for a project", _NAME_RULE),
        (_TABLE.fullmatch(table), f"{table!r} is no name of a DynamoDB table", _TABLE_RULE),
        (region is None or _REGION.fullmatch(region), f"{region!r} is no AWS region", _REGION_RULE),
        (kind in _SAMPLES and _KEY.fullmatch(attribute), f"{key!r} is no hash key", _KEY_RULE),
    )
    for right, said, remedy in wrong:
        if not right:
            raise ConfigurationError(said, where="tailrace init", remedy=f"Give {remedy}")
    return attribute, kind


def run_init(folder: Path, files: dict[str, str], *, dry_run: bool, as_json: bool) -> None:
    """Write the files, unless it is a dry run, and say which.

    Raises:
        ConfigurationError: the folder is there and not empty, or can't be written.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigurationError(
            "there is something of this name already",
            where=str(folder),
            remedy="Choose another name, or move it away: nothing is overwritten",
        )
    if not dry_run:
        try:
            for path, text in files.items():
                target = folder / path
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(text, encoding="utf-8")
        except OSError as error:
            raise ConfigurationError(
                f"the project can't be written: {error.strerror}",
                where=str(folder),
                remedy="Choose a folder you may write to",
            ) from error
    if as_json:
        said = {"folder": str(folder), "files": sorted(files), "written": not dry_run}
        write_line(json.dumps(said))
        return
    for path in sorted(files):
        write_line(f"{'would write' if dry_run else 'wrote'} {folder / path}")
    transform = next(path for path in files if path.endswith(".py"))
    write_line(f"next: cd {folder} && tailrace test {transform}")
