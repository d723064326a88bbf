"""What a transform file asks for: its transforms, the tables they read, the datasets they feed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

from bridge.wire.errors import ConfigurationError

if TYPE_CHECKING:
    from bridge.source import DynamoDBSource
    from processors.flow import CompiledFlow
    from processors.stream import Input
    from processors.transform import Transform
    from sinks.dataset import Dataset


@dataclass(frozen=True, slots=True)
class Feed:
    """One dataset: the compiled flow that fills it and the table it comes from.

    Where several tables feed it, `others` has the flows of the others. `found`: the table was
    found by its tags.
    """

    flow: CompiledFlow
    dataset: Dataset
    source: DynamoDBSource
    others: tuple[Feed, ...] = ()
    found: bool = False

    @property
    def parts(self) -> tuple[Feed, ...]:
        """Itself and the others: one per table."""
        return (self, *self.others)

    @property
    def tables(self) -> tuple[str, ...]:
        """The tables it comes from."""
        return tuple(part.flow.table for part in self.parts)


@dataclass(frozen=True, slots=True)
class Plan:
    """The transforms of a file, or of all files in a folder, compiled."""

    path: Path
    transforms: tuple[Transform, ...]
    feeds: tuple[Feed, ...]

    @property
    def tables(self) -> dict[str, tuple[str, ...]]:
        """By dataset: the tables it comes from."""
        return {feed.dataset.id: feed.tables for feed in self.feeds}

    @property
    def declared(self) -> tuple[DynamoDBSource, ...]:
        """The sources as they are written, those of several tables undivided."""
        entries = [entry for transform in self.transforms for entry in transform.inputs.values()]
        return tuple(map(declaration, entries))

    @property
    def sources(self) -> tuple[DynamoDBSource, ...]:
        """Every table read, once.

        Raises:
            ConfigurationError: two declarations of one table differ.
        """
        found: dict[str, DynamoDBSource] = {}
        for declared in self.declared:
            for source in declared.each:
                if found.setdefault(source.table_name, source) != source:
                    raise ConfigurationError(
                        f"table {source.table_name!r} is declared in two different ways",
                        where=str(self.path),
                        remedy="Give it one DynamoDBSource and use that everywhere",
                    )
        return tuple(found.values())

    @property
    def only(self) -> Transform:
        """The one transform of a processor.

        Raises:
            ConfigurationError: there are several.
        """
        if len(self.transforms) > 1:
            names = ", ".join(transform.name for transform in self.transforms)
            raise ConfigurationError(
                f"it has several transforms: {names}",
                where=str(self.path),
                remedy=f"Name one, {self.path}:{self.transforms[0].name}",
            )
        return self.transforms[0]


def load_plan(target: str) -> Plan:
    """`FILE` or `FILE:name` -> its plan, with every transform compiled.

    A folder is all its `transform_files` together.

    Raises:
        ConfigurationError: the file can't be loaded, has no such transform, a transform is wrong,
            or two of them feed one dataset.
    """
    from processors.loader import load_transforms

    path, name = split_target(target)
    if path.is_dir():
        return compile_plan(path, _of_folder(path, name))
    if not path.is_file():
        raise ConfigurationError(
            "no such file", where=str(path), remedy="Name a Python file with a @transform in it"
        )
    return compile_plan(path, tuple(load_transforms(path, name)))


def transform_files(folder: Path) -> list[Path]:
    """A folder's Python files, by name; `_….py` are for others to import."""
    return sorted(path for path in folder.glob("*.py") if not path.name.startswith("_"))


def _of_folder(folder: Path, name: str | None) -> tuple[Transform, ...]:
    from processors.loader import load_transforms

    found: dict[str, tuple[Path, Transform]] = {}
    for path in transform_files(folder):
        for transform in load_transforms(path):
            other, _ = found.setdefault(transform.name, (path, transform))
            if other != path:
                raise ConfigurationError(
                    f"two transforms are named {transform.name!r}",
                    where=f"{other}, {path}",
                    remedy="Rename one: topics and groups are called after it",
                )
    chosen = tuple(each for _, each in found.values() if name in (None, each.name))
    if not chosen:
        what = "no file with a @transform" if name is None else f"no transform named {name!r}"
        raise ConfigurationError(
            f"{what} is in this folder", where=str(folder), remedy="Put its .py file there"
        )
    return chosen


def compile_plan(path: Path, transforms: tuple[Transform, ...]) -> Plan:
    """The plan of these transforms.

    Raises:
        ConfigurationError: a transform is wrong, or two of them feed one dataset or one place.
    """
    feeds = tuple(feed for transform in transforms for feed in _feeds(transform))
    ids = [feed.dataset.id for feed in feeds]
    for dataset_id in ids:
        if ids.count(dataset_id) > 1:
            raise ConfigurationError(
                f"dataset {dataset_id!r} is fed twice",
                where=str(path),
                remedy="Give each output a dataset of its own",
            )
    _check_places({feed.dataset.id: feed.dataset.path or feed.dataset.id for feed in feeds}, path)
    return Plan(path, transforms, feeds)


def _check_places(places: Mapping[str, str], path: Path) -> None:
    """A table inside another's folder would be taken for what that one's vacuum may remove."""
    for dataset, place in places.items():
        for other, inside in places.items():
            if other != dataset and f"{inside}/".startswith(f"{place}/"):
                raise ConfigurationError(
                    f"the table of dataset {other!r} would lie in the one of {dataset!r}",
                    where=str(path),
                    remedy=f"Give {other!r} another path than {inside!r}",
                )


def declaration(entry: Input) -> DynamoDBSource:
    """An input's source: the protocol knows less of it than what a file really declares."""
    return cast("DynamoDBSource", entry.stream.source)


def split_target(target: str) -> tuple[Path, str | None]:
    """`"dir/orders.py:name"` -> its path and name; a colon before a slash is part of the path."""
    head, colon, name = target.rpartition(":")
    if colon and head and name.isidentifier():
        return Path(head), name
    return Path(target), None


def _feeds(transform: Transform) -> list[Feed]:
    from processors.compiled import compile_transform

    found: dict[str, list[Feed]] = {}
    for flow in compile_transform(transform).flows:
        declared = declaration(transform.inputs[flow.input_name])
        source = next(each for each in declared.each if each.table_name == flow.table)
        dataset = cast("Dataset", flow.dataset)
        columns = {column.name: column.type for column in flow.schema.columns}
        dataset.check_columns(columns)
        feed = Feed(flow, dataset, source, found=bool(declared.table_tags))
        found.setdefault(flow.dataset.id, []).append(feed)
    return [replace(first, others=tuple(others)) for first, *others in found.values()]
