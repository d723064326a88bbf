"""The README keeps up with the product."""

from __future__ import annotations

from pathlib import Path

from bridge.control.cli import app
from bridge.control.settings import Settings

ROOT = Path(__file__).parents[3]
README = (ROOT / "README.md").read_text(encoding="utf-8")


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
    groups = {group.name: group.typer_instance for group in app.registered_groups}
    assert groups
    for prefix, commands in {
        "": app,
        **{f"{name} ": inner for name, inner in groups.items()},
    }.items():
        assert commands is not None
        for command in commands.registered_commands:
            assert command.callback is not None
            name = command.name or command.callback.__name__
            assert f"`tailrace {prefix}{name} " in README


def test_the_example_is_the_file_that_ships() -> None:
    text = (ROOT / "processors/examples/orders.py").read_text(encoding="utf-8")

    assert f"```python\n{text}```" in README
