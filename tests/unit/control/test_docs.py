"""The README keeps up with the product."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from bridge.control.cli import app
from bridge.control.settings import Settings

ROOT = Path(__file__).parents[3]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def commands() -> Iterator[str]:
    """Every command as it is typed; groups without a name stand beside the others."""
    groups = [("", app)]
    for group in app.registered_groups:
        assert group.typer_instance is not None
        groups.append(
            (f"{group.name} " if isinstance(group.name, str) else "", group.typer_instance)
        )
    for prefix, group in groups:
        for command in group.registered_commands:
            assert command.callback is not None
            yield prefix + (command.name or command.callback.__name__)


def test_every_setting_is_documented_as_it_describes_itself() -> None:
    for name, field in Settings.model_fields.items():
        rows = [line for line in README.splitlines() if f"| `TAILRACE_{name.upper()}` |" in line]
        assert len(rows) == 1, name
        assert field.description
        assert field.description in rows[0]


def test_no_setting_is_documented_that_does_not_exist() -> None:
    rows = [line for line in README.splitlines() if line.startswith("| `TAILRACE_")]

    assert len(rows) == len(Settings.model_fields)


def test_every_command_is_documented() -> None:
    found = set(commands())
    assert {"verify", "dlq replay", "pause"} <= found
    for command in found:
        assert f"`tailrace {command} " in README or f"`tailrace {command}`" in README, command


def test_the_example_is_the_file_that_ships() -> None:
    text = (ROOT / "processors/examples/orders.py").read_text(encoding="utf-8")

    assert f"```python\n{text}```" in README
