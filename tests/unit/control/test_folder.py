"""The run's folder: one run at a time, and never somebody's things."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.control.folder import held
from bridge.wire.errors import ConfigurationError


def test_a_second_run_is_refused(tmp_path: Path) -> None:
    with (
        held(tmp_path / "run") as folder,
        pytest.raises(ConfigurationError, match="another run uses it"),
        held(folder),
    ):
        pass


def test_it_can_be_used_again_afterwards(tmp_path: Path) -> None:
    for _ in range(2):
        with held(tmp_path / "run") as folder:
            assert folder.is_absolute()


def test_emptying_removes_what_a_run_left(tmp_path: Path) -> None:
    with held(tmp_path / "run", empty=True) as folder:
        (folder / "lake").mkdir()
        (folder / "lake" / "old").touch()

    with held(tmp_path / "run", empty=True) as folder:
        assert not (folder / "lake").exists()


def test_other_peoples_things_are_not_emptied(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")

    with pytest.raises(ConfigurationError, match="not empty"), held(tmp_path, empty=True):
        pass
    assert (tmp_path / "thesis.txt").exists()


def test_a_folder_that_can_not_be_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with (
        pytest.raises(ConfigurationError, match="can't use it"),
        held(tmp_path / "file" / "run"),
    ):
        pass
