"""Changes read off the wire: of a record only what the transform uses is decoded.

Most of a record is images, and most of an image nobody selects. What is left out is skipped by the
decoder, which costs a third. Whatever is not as expected there is decoded whole by the general
decoder, so what is said about a bad record does not depend on what the transform uses.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypedDict

import msgspec
import orjson

from bridge.wire.envelope import Origin, change_origin
from bridge.wire.errors import WireError
from processors.language import nodes

Record = Mapping[str, Any]

_STAMPS_MAX = 4096
_ALWAYS = ("Keys", "SequenceNumber", "ApproximateCreationDateTime")


class Reads:
    """What expressions and steps read of a record.

    `images` are names of attributes, of the new image or the old one; None: all of them. `fields`
    are the plain fields, as paths.
    """

    def __init__(
        self,
        used: Iterable[nodes.Node],
        unfolds: Iterable[nodes.Unfold],
        *,
        old_image: bool,
        view_type: bool,
    ) -> None:
        self.images: set[str] | None = set()
        self.fields: set[tuple[str, ...]] = {("dynamodb", name) for name in _ALWAYS}
        if view_type:
            self.fields.add(("dynamodb", "StreamViewType"))
        self.old_image = old_image
        for node in used:
            self._add(node)
        for unfold in unfolds:
            self._add_unfold(unfold)

    def _add(self, node: nodes.Node) -> None:
        match node:
            case nodes.Attribute(base, steps):
                if isinstance(base, nodes.Element):
                    self._add(base.source)
                elif steps:
                    self._add_name(str(steps[0]))
                else:
                    self.images = None
            case nodes.Whole(_, name):
                self._add_name(name)
            case nodes.EventField(path):
                self.fields.add(path)
            case nodes.Field(step) if step.unfold is not None:
                self._add_unfold(step.unfold)
        for child in nodes.children(node):
            self._add(child)

    def _add_name(self, name: str) -> None:
        if self.images is not None:
            self.images.add(name)

    def _add_unfold(self, unfold: nodes.Unfold) -> None:
        if isinstance(unfold.base, str):
            self.images = None
        else:
            self._add(unfold.base)


def expressions(steps: Iterable[nodes.Step]) -> Iterator[nodes.Node]:
    """Everything that steps compute."""
    for step in steps:
        if isinstance(step, nodes.Element):
            yield step.source
        elif isinstance(step, nodes.Map):
            yield from (node for _, node in step.columns)
        else:
            yield step


def unfolds(steps: Iterable[nodes.Step], last: nodes.Unfold | None) -> list[nodes.Unfold]:
    """Everything that is unfolded, by the steps' maps and at the end."""
    maps = [step.unfold for step in steps if isinstance(step, nodes.Map)]
    return [unfold for unfold in [*maps, last] if unfold is not None]


class RecordReader:
    """Decodes the changes of a topic, for all flows that read it.

    Args:
        reads: of each flow.
    """

    def __init__(self, reads: Iterable[Reads]) -> None:
        self._decode = msgspec.json.Decoder(_shape(list(reads))).decode
        self._origins: dict[bytes, Origin] = {}

    def read(self, value: bytes) -> tuple[Record, Origin]:
        """The record, what nobody reads perhaps left out of it, and where it comes from.

        Raises:
            ValueError: no JSON.
            WireError: not a change.
            UnknownVersionError: a newer release wrote it.
        """
        try:
            record = self._decode(value)
            stamp, _ = bytes(record["tailrace"]), record["dynamodb"]
        except (msgspec.MsgspecError, KeyError, ValueError, RecursionError):
            return self._read_whole(value)
        origin = self._origins.get(stamp)
        if origin is None:
            origin = change_origin({"tailrace": orjson.loads(stamp)})
            if len(self._origins) >= _STAMPS_MAX:
                self._origins.clear()
            self._origins[stamp] = origin
        return record, origin

    @staticmethod
    def _read_whole(value: bytes) -> tuple[Record, Origin]:
        record = orjson.loads(value)
        if not (isinstance(record, dict) and isinstance(record.get("dynamodb"), dict)):
            raise WireError("not a change: it has no 'dynamodb'")
        return record, change_origin(record)


def _shape(reads: list[Reads]) -> Any:
    """The type of a record, fields that are not in it skipped."""
    names: set[str] | None = set()
    for one in reads:
        names = None if names is None or one.images is None else names | one.images
    image: Any = dict[str, Any]
    if names is not None:
        image = _typed_map(dict.fromkeys(names, Any))
    paths = {path for one in reads for path in one.fields}
    change: dict[str, Any] = {
        path[1]: Any for path in paths if len(path) > 1 and path[0] == "dynamodb"
    }
    change["NewImage"] = image
    if any(one.old_image for one in reads):
        change["OldImage"] = image
    fields = {path[0]: Any for path in paths if path[0] != "dynamodb"}
    return _required(fields, _typed_map(change))


def _typed_map(fields: Mapping[str, Any]) -> Any:
    return TypedDict("Fields", dict(fields), total=False)  # type: ignore[operator]


def _required(fields: Mapping[str, Any], change: Any) -> Any:
    shape = {**fields, "eventName": Any, "dynamodb": change, "tailrace": msgspec.Raw}
    return TypedDict("Record", shape, total=False)  # type: ignore[operator]
