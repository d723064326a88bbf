"""`map`: a Python function of the author's between two sets of columns.

What it takes is plain Python; what it returns is checked against the declared schema, value by
value. Nothing it does wrong stops the pipeline: the change becomes a dead letter.
"""

from __future__ import annotations

import base64
import hashlib
import inspect
import json
import math
import textwrap
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import orjson

from bridge.wire.attributes import plain_value
from bridge.wire.errors import ConfigurationError, TailraceError, raised_at
from processors.language import column_types, moments, nodes, problems, runtime
from processors.language.runtime import UnfitValueError
from processors.naming import kept_stem

MapFunction = Callable[[dict[str, Any]], Mapping[str, Any] | None]
Row = dict[str, Any]

TIMESTAMP, DATE = "timestamp", "date"
_TYPES = ("string", "bigint", "double", "boolean", "binary", "json", TIMESTAMP, DATE)


class MapError(TailraceError):
    """The function of a `map` raised; its own exception is the cause."""


class Mapper:
    """Calls the function, as `nodes.Map` wants it.

    Args:
        function: the author's.
        columns: names and types of the columns it takes.
        unfold: the attributes it takes besides, None for none.
        schema: names and types of the columns it returns.
    """

    def __init__(
        self,
        function: MapFunction,
        columns: Iterable[tuple[str, str]],
        unfold: nodes.Unfold | None,
        schema: Mapping[str, str],
    ) -> None:
        self._function = function
        self._name = name_of(function)
        self._columns = [(name, _READERS.get(kind.partition("(")[0])) for name, kind in columns]
        self._schema = {name: (kind, _writer(kind)) for name, kind in schema.items()}
        self._unfold = unfold
        hidden = frozenset(name for name, _ in self._columns)
        self._left_out = (unfold.left_out if unfold else frozenset()) | hidden
        self._renamed = dict(unfold.renamed) if unfold else {}
        self._targets = frozenset(self._renamed.values())

    def __call__(self, cells: Row, image: Any) -> Row | None:
        """The new columns as rows carry them, None for no row.

        Raises:
            MapError: the function raised.
            UnfitValueError: it returned something else than the schema says.
        """
        row = {**self._attributes(image), **self._plain(cells)}
        try:
            returned = self._function(row)
        except MemoryError:
            raise
        except Exception as error:
            # What it said may quote the row, so only its cause holds that.
            raise MapError(
                f"the function raised {type(error).__name__} at {raised_at(error)}",
                where=f"map({self._name})",
            ) from error
        return None if returned is None else self._checked(returned)

    def _plain(self, cells: Row) -> Row:
        return {
            name: cells[name] if read is None or cells[name] is None else read(cells[name])
            for name, read in self._columns
        }

    def _attributes(self, image: Mapping[str, Any] | None) -> Row:
        found: Row = {}
        for attribute, typed in (image or {}).items():
            tag = next(iter(typed), "")
            if kept_stem(attribute, tag, self._left_out, self._renamed, self._targets) is None:
                continue
            found[self._renamed.get(attribute, attribute)] = plain_value(typed)
        return found

    def _checked(self, returned: object) -> Row:
        where = f"map({self._name})"
        if not isinstance(returned, Mapping):
            raise UnfitValueError(
                f"the function returned a {type(returned).__name__}",
                where=where,
                remedy="Return a dict of columns, or None for no row; explode makes several rows",
            )
        for name in returned:
            if name not in self._schema:
                raise UnfitValueError(
                    f"the function returned column {name!r}, its schema has none such",
                    where=where,
                    remedy=problems.nearest(str(name), self._schema),
                )
        return {
            name: None if returned.get(name) is None else self._written(name, returned[name])
            for name in self._schema
        }

    def _written(self, name: str, value: object) -> Any:
        kind, write = self._schema[name]
        where = f"column {name} of map({self._name})"
        try:
            return write(value, where)
        except (TypeError, ValueError, ArithmeticError):
            raise UnfitValueError(
                f"a {type(value).__name__} that is no {kind}",
                where=where,
                remedy=f"Return {_WANTED.get(kind.partition('(')[0], kind)}",
            ) from None


def name_of(function: object) -> str:
    """A function's name in messages."""
    return getattr(function, "__name__", type(function).__name__)


def check_schema(function: object, schema: object) -> dict[str, str]:
    """The schema in canonical spelling.

    Raises:
        ConfigurationError: not a function, or not a dict of names and types.
    """
    if not callable(function) or inspect.iscoroutinefunction(function):
        raise ConfigurationError(
            "map takes a plain function",
            where="map(…)",
            remedy='Write map(my_function, schema={"total": "decimal(18,2)"})',
        )
    if not isinstance(schema, Mapping) or not schema:
        raise ConfigurationError(
            "the schema of what it returns is missing",
            where=f"map({name_of(function)})",
            remedy='Write schema={"total": "decimal(18,2)", "status": "string"}',
        )
    return {str(name): _type(str(name), kind, function) for name, kind in schema.items()}


def spelling(function: object) -> str:
    """The function as a start compares it with the one before: its name and a hash of its text.

    What it calls is not looked at.
    """
    try:
        text = textwrap.dedent(inspect.getsource(function))  # type: ignore[arg-type]
    except (OSError, TypeError):
        code = getattr(function, "__code__", None)
        text = repr(code.co_code) if code is not None else ""
    digest = hashlib.sha256(text.strip().encode()).hexdigest()[:16]
    return f"{name_of(function)} {digest}"


def _type(name: str, kind: object, function: object) -> str:
    text = str(kind).replace(" ", "").lower()
    text = {"decimal": column_types.EXACT_NUMBER, "int": "bigint"}.get(text, text)
    shape = column_types.decimal_shape(text)
    fits = shape is not None and 0 < shape[0] <= 38 and shape[1] <= shape[0]
    if not (fits or text in _TYPES):
        raise ConfigurationError(
            f"column {name!r} has the unknown type {kind!r}",
            where=f"map({name_of(function)})",
            remedy=problems.nearest(text, [*_TYPES, "decimal(p,s)"]),
        )
    return text


def _from_json(text: str) -> Any:
    return json.loads(text, parse_float=Decimal)


_READERS: Mapping[str, Callable[[Any], Any]] = {
    "decimal": Decimal,
    "binary": base64.b64decode,
    "json": _from_json,
    TIMESTAMP: datetime.fromisoformat,
    DATE: date.fromisoformat,
}
_WANTED = {
    "string": "a str",
    "bigint": "an int",
    "double": "a float",
    "decimal": "a Decimal",
    "boolean": "a bool",
    "binary": "bytes",
    "json": "lists and dicts of plain values",
    TIMESTAMP: "a datetime with a time zone",
    DATE: "a date",
}


def _writer(kind: str) -> Callable[[Any, str], Any]:
    shape = column_types.decimal_shape(kind)
    if shape is not None:
        return lambda value, where: runtime.decimal_text(
            runtime.to_decimal(_number(value), *shape, where)
        )
    return _WRITERS[kind]


def _instance(kind: type) -> Callable[[Any, str], Any]:
    def check(value: Any, _: str) -> Any:
        if type(value) is not kind:
            raise TypeError
        return value

    return check


def _number(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise TypeError
    return value


def _bigint(value: Any, where: str) -> int:
    if _number(value) != int(value):
        raise ValueError
    return runtime.to_bigint(int(value), where)


def _double(value: Any, _: str) -> float:
    found = float(_number(value))
    if not math.isfinite(found):
        raise ValueError
    return found


def _binary(value: Any, _: str) -> str:
    if not isinstance(value, bytes | bytearray):
        raise TypeError
    return base64.b64encode(value).decode()


def _json(value: Any, _: str) -> str:
    return orjson.dumps(_jsonable(value), option=orjson.OPT_SORT_KEYS).decode()


def _jsonable(value: Any) -> Any:
    match value:
        case Decimal():
            return orjson.Fragment(runtime.to_string(value).encode())
        case dict():
            return {str(name): _jsonable(inner) for name, inner in value.items()}
        case list() | tuple():
            return [_jsonable(inner) for inner in value]
        case set() | frozenset():
            return [_jsonable(inner) for inner in sorted(value)]
        case bytes():
            return base64.b64encode(value).decode()
    return value


def _timestamp(value: Any, _: str) -> str:
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise TypeError
    return moments.timestamp_text(value.astimezone(UTC))


def _date(value: Any, _: str) -> str:
    if not isinstance(value, date) or isinstance(value, datetime):
        raise TypeError
    return value.isoformat()


_WRITERS: Mapping[str, Callable[[Any, str], Any]] = {
    "string": _instance(str),
    "boolean": _instance(bool),
    "bigint": _bigint,
    "double": _double,
    "binary": _binary,
    "json": _json,
    TIMESTAMP: _timestamp,
    DATE: _date,
}
