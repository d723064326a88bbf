"""The functions and operators of the language: what each takes, gives, and how it is computed.

There is no `now()` and no `rand()`: a row must be what its item says, whenever it is computed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from processors.language import arithmetic, collections, column_types, moments, strings
from processors.language.column_types import (
    BIGINT,
    BOOLEAN,
    DATE,
    DOUBLE,
    EXACT_NUMBER,
    JSON,
    NULL,
    STRING,
    TIMESTAMP,
)  # fmt: skip

# Kinds of parameters, as messages name them.
TEXT, WHOLE, EXACT, NUMBER = "a text", "a whole number", "an exact number", "a number"
MOMENT, ANY, COLLECTION, LITERAL = "a date or timestamp", "any", "a list, map or set", "a literal"
LOGICAL, AS_TEXT, JSON_TEXT = "a condition", "a value", "a JSON text"

_ACCEPTED: Mapping[str, Callable[[str], bool]] = {
    TEXT: lambda kind: kind == STRING,
    WHOLE: lambda kind: kind == BIGINT,
    EXACT: lambda kind: column_types.is_number(kind) and kind != DOUBLE,
    NUMBER: column_types.is_number,
    MOMENT: lambda kind: kind in (DATE, TIMESTAMP),
    ANY: lambda _: True,
    COLLECTION: lambda kind: kind == JSON,
    LITERAL: lambda kind: kind == STRING,
    LOGICAL: lambda kind: kind == BOOLEAN,
    AS_TEXT: lambda _: True,
    JSON_TEXT: lambda kind: kind in (STRING, JSON),
    TIMESTAMP: lambda kind: kind == TIMESTAMP,
    DATE: lambda kind: kind == DATE,
}


@dataclass(frozen=True, slots=True, eq=False)
class Overload:
    """One way to call a function.

    `parameters` are kinds; the last `optional` ones may be left out, with `repeats` the last one
    may come again. `compute` takes the values of the arguments and, with `refuses`, the place for
    an error. Where parameters are literals, `compute` takes those alone and gives the function of
    the others; it raises ValueError, whose text says what is wrong with them. With `strict` a NULL
    among the arguments makes NULL.
    """

    parameters: tuple[str, ...]
    result: str
    compute: Callable[..., Any]
    optional: int = 0
    repeats: bool = False
    refuses: bool = False
    strict: bool = True

    def takes(self, count: int) -> bool:
        """Whether so many arguments go."""
        least, most = len(self.parameters) - self.optional, len(self.parameters)
        return least <= count and (self.repeats or count <= most)

    def parameter(self, number: int) -> str:
        """The kind of an argument by its number."""
        return self.parameters[min(number, len(self.parameters) - 1)]


def accepts(kind: str, column_type: str) -> bool:
    """Whether a parameter of this kind takes values of the type."""
    return column_type == NULL or _ACCEPTED[kind](column_type)


def _of(compute: Callable[..., Any], *parameters: str, to: str, **more: Any) -> tuple[Overload]:
    return (Overload(parameters, to, compute, **more),)


def _numeric(
    wholly: Callable[..., Any], exactly: Callable[..., Any], really: Callable[..., Any]
) -> tuple[Overload, ...]:
    return (
        Overload((WHOLE, WHOLE), BIGINT, wholly, refuses=True),
        Overload((EXACT, EXACT), EXACT_NUMBER, exactly, refuses=True),
        Overload((NUMBER, NUMBER), DOUBLE, really, refuses=True),
    )


def _like(pattern: str, escape: str = "\\") -> Callable[[str], bool]:
    parts = strings.like_parts(pattern, escape) if len(escape) <= 1 else None
    if parts is None:
        raise ValueError("an escape of one character goes before %, _ or itself")
    return lambda text: strings.like(text, parts)


def _unit(compute: Callable[..., Any]) -> Callable[..., Any]:
    def bind(unit: str) -> Callable[..., Any]:
        if unit.lower() not in moments.UNITS:
            raise ValueError(f"units are {', '.join(moments.UNITS)}")
        return partial(compute, unit.lower())

    return bind


def _add_unit(unit: str) -> Callable[..., Any]:
    name = unit.lower()
    if name not in moments.UNITS:
        raise ValueError(f"units are {', '.join(moments.UNITS)}")
    return lambda count, value, where: moments.date_add(value, count, where, name)


def _days(unit: str) -> Callable[..., Any]:
    if unit.lower() not in moments.UNITS[:5]:
        raise ValueError("a date moves by year, quarter, month, week or day")
    return _add_unit(unit)


def _read_format(form: str) -> Callable[..., Any]:
    pattern = moments.reader(form)
    if pattern is None:
        raise ValueError(f"a format has year, month and day, each once: {moments.FORMAT_LETTERS}")
    return lambda text, where: moments.read_with(text, pattern, where)


def _date_format(form: str) -> Callable[..., Any]:
    if not moments.is_format(form):
        raise ValueError(f"letters of a format are {moments.FORMAT_LETTERS}")
    return lambda value: moments.written_with(value, form)


def _json(path: str) -> Callable[[str], Any]:
    steps = strings.json_steps(path)
    if steps is None:
        raise ValueError("a path such as $.lines[0].sku is expected")
    return lambda text: strings.json_value(text, steps)


def _compiled(pattern: str) -> Any:
    """By RE2: its time grows with the length of the text alone, whatever the text is."""
    import re2

    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        said = error.args[0] if error.args else ""
        text = said.decode(errors="replace") if isinstance(said, bytes) else str(said)
        raise ValueError(f"no regular expression of RE2: {text}") from None


def _regexp_like(pattern: str) -> Callable[[str], bool]:
    search = _compiled(pattern).search
    return lambda text: search(text) is not None


def _regexp_extract(pattern: str) -> Callable[..., Any]:
    compiled = _compiled(pattern)

    def extract(text: str, group: int = 1 if compiled.groups else 0) -> str | None:
        found = compiled.search(text)
        return found.group(group) if found and 0 <= group <= compiled.groups else None

    return extract


def _regexp_replace(pattern: str, replacement: str) -> Callable[..., Any]:
    compiled = _compiled(pattern)
    for reference in re.findall(r"\\(\d?)", replacement):
        if not reference or int(reference) > compiled.groups:
            raise ValueError(r"\1 to \9 stand for the pattern's groups, nothing else does")
    return lambda text: compiled.sub(replacement, text)


_FIELDS = ("year", "quarter", "month", "day", "dayofweek", "hour", "minute", "second")
_TRIMS = {"trim": strings.trim, "ltrim": strings.ltrim, "rtrim": strings.rtrim}

FUNCTIONS: Mapping[str, Sequence[Overload]] = {
    "+": _numeric(
        arithmetic.wholly(lambda left, right: left + right),
        arithmetic.exactly(arithmetic.add),
        arithmetic.really(lambda left, right: left + right),
    ),
    "-": _numeric(
        arithmetic.wholly(lambda left, right: left - right),
        arithmetic.exactly(arithmetic.subtract),
        arithmetic.really(lambda left, right: left - right),
    ),
    "*": _numeric(
        arithmetic.wholly(lambda left, right: left * right),
        arithmetic.exactly(arithmetic.multiply),
        arithmetic.really(lambda left, right: left * right),
    ),
    "/": (
        Overload((EXACT, EXACT), EXACT_NUMBER, arithmetic.divide, refuses=True),
        Overload((NUMBER, NUMBER), DOUBLE, arithmetic.divide_doubles, refuses=True),
    ),
    "%": (
        Overload((WHOLE, WHOLE), BIGINT, arithmetic.whole_remainder),
        Overload((EXACT, EXACT), EXACT_NUMBER, arithmetic.remainder, refuses=True),
        Overload((NUMBER, NUMBER), DOUBLE, arithmetic.remainder_doubles, refuses=True),
    ),
    "negative": (
        Overload((WHOLE,), BIGINT, lambda v, where: arithmetic.whole(-v, where), refuses=True),
        Overload((EXACT,), EXACT_NUMBER, arithmetic.negative),
        Overload((NUMBER,), DOUBLE, arithmetic.negative),
    ),
    "abs": (
        Overload((WHOLE,), BIGINT, lambda v, where: arithmetic.whole(abs(v), where), refuses=True),
        Overload((EXACT,), EXACT_NUMBER, lambda v: v.copy_abs()),
        Overload((NUMBER,), DOUBLE, abs),
    ),
    "sign": _of(arithmetic.sign, NUMBER, to=BIGINT),
    "floor": _of(arithmetic.floor, NUMBER, to=EXACT_NUMBER),
    "ceil": _of(arithmetic.ceil, NUMBER, to=EXACT_NUMBER),
    "round": (
        Overload((EXACT, WHOLE), EXACT_NUMBER, arithmetic.rounded, optional=1),
        Overload((NUMBER, WHOLE), DOUBLE, arithmetic.rounded_double, optional=1),
    ),
    "power": _of(arithmetic.power, NUMBER, NUMBER, to=DOUBLE, refuses=True),
    "||": _of(strings.concatenated, AS_TEXT, AS_TEXT, to=STRING),
    "concat": _of(strings.concatenated, AS_TEXT, to=STRING, repeats=True),
    "concat_ws": _of(
        lambda separator, *parts: None if separator is None else strings.joined(separator, *parts),
        TEXT, AS_TEXT, to=STRING, repeats=True, strict=False,
    ),
    "lower": _of(str.lower, TEXT, to=STRING),
    "upper": _of(str.upper, TEXT, to=STRING),
    **{name: _of(trim, TEXT, TEXT, to=STRING, optional=1) for name, trim in _TRIMS.items()},
    "length": _of(len, TEXT, to=BIGINT),
    "substring": _of(strings.substring, TEXT, WHOLE, WHOLE, to=STRING, optional=1),
    "left": _of(strings.left, TEXT, WHOLE, to=STRING),
    "right": _of(strings.right, TEXT, WHOLE, to=STRING),
    "replace": _of(strings.replace, TEXT, TEXT, TEXT, to=STRING, refuses=True),
    "split_part": _of(strings.split_part, TEXT, TEXT, WHOLE, to=STRING),
    "strpos": _of(lambda text, part: text.find(part) + 1, TEXT, TEXT, to=BIGINT),
    "contains": _of(str.__contains__, TEXT, TEXT, to=BOOLEAN),
    "starts_with": _of(lambda text, start: text.startswith(start), TEXT, TEXT, to=BOOLEAN),
    "ends_with": _of(lambda text, end: text.endswith(end), TEXT, TEXT, to=BOOLEAN),
    "lpad": (
        *_of(strings.pad_left, TEXT, WHOLE, to=STRING,
             refuses=True),
        *_of(lambda t, n, by, where: strings.pad_left(t, n, where, by), TEXT, WHOLE, TEXT,
             to=STRING, refuses=True),
    ),
    "rpad": (
        *_of(strings.pad_right, TEXT, WHOLE, to=STRING,
             refuses=True),
        *_of(lambda t, n, by, where: strings.pad_right(t, n, where, by), TEXT, WHOLE, TEXT,
             to=STRING, refuses=True),
    ),
    "like": _of(_like, TEXT, LITERAL, LITERAL, to=BOOLEAN, optional=1),
    "regexp_like": _of(_regexp_like, TEXT, LITERAL, to=BOOLEAN),
    "regexp_extract": _of(_regexp_extract, TEXT, LITERAL, WHOLE, to=STRING, optional=1),
    "regexp_replace": _of(_regexp_replace, TEXT, LITERAL, LITERAL, to=STRING),
    "md5": _of(strings.hashed("md5"), TEXT, to=STRING),
    "sha256": _of(strings.hashed("sha256"), TEXT, to=STRING),
    "get_json_object": _of(_json, JSON_TEXT, LITERAL, to=STRING),
    "size": _of(collections.size, COLLECTION, to=BIGINT, refuses=True),
    "array_contains": _of(collections.array_contains, COLLECTION, ANY, to=BOOLEAN, refuses=True),
    "is_distinct": _of(collections.distinct, ANY, ANY, to=BOOLEAN, strict=False),
    "to_timestamp": (
        *_of(moments.to_timestamp, TEXT, to=TIMESTAMP, refuses=True),
        *_of(_read_format, TEXT, LITERAL, to=TIMESTAMP, refuses=True),
    ),
    "to_date": (
        *_of(moments.to_date, TEXT, to=DATE, refuses=True),
        *_of(lambda form: lambda text, where: _read_format(form)(text, where).date(),
             TEXT, LITERAL, to=DATE, refuses=True),
        *_of(moments.day_of, MOMENT, to=DATE),
    ),
    "timestamp_seconds": _of(moments.from_seconds, NUMBER, to=TIMESTAMP, refuses=True),
    "timestamp_millis": _of(moments.from_millis, NUMBER, to=TIMESTAMP, refuses=True),
    "unix_seconds": _of(moments.unix_seconds, MOMENT, to=BIGINT),
    "unix_millis": _of(moments.unix_millis, MOMENT, to=BIGINT),
    "date_trunc": _of(_unit(moments.date_trunc), LITERAL, MOMENT, to=TIMESTAMP),
    "date_add": (
        Overload((LITERAL, WHOLE, TIMESTAMP), TIMESTAMP, _add_unit, refuses=True),
        Overload((LITERAL, WHOLE, DATE), DATE, _days, refuses=True),
    ),
    "date_diff": _of(_unit(moments.date_diff), LITERAL, MOMENT, MOMENT, to=BIGINT),
    "date_format": _of(_date_format, MOMENT, LITERAL, to=STRING),
    **{name: _of(moments.field_of(name), MOMENT, to=BIGINT) for name in _FIELDS},
}  # fmt: skip

ALIASES: Mapping[str, str] = {
    "substr": "substring", "ceiling": "ceil", "pow": "power", "mod": "%", "lcase": "lower",
    "ucase": "upper", "char_length": "length", "from_unixtime": "timestamp_seconds",
    "json_extract": "get_json_object", "iff": "if", "startswith": "starts_with",
    "endswith": "ends_with", "cardinality": "size", "nvl": "coalesce", "ifnull": "coalesce",
    "iif": "if", "len": "length", "instr": "strpos", "to_char": "date_format",
}  # fmt: skip
# Forms whose arguments are not all computed, or whose type is that of their arguments.
FORMS = ("coalesce", "nullif", "if", "greatest", "least", "changed", "ttl_expired")
AGGREGATES = ("count", "sum", "min", "max", "avg", "first", "last")
REFUSED: Mapping[str, str] = {
    **dict.fromkeys(
        ("now", "current_timestamp", "current_date", "getdate", "sysdate"),
        "A row must be the same whenever it is computed again; "
        "the time of a change is dynamodb.ApproximateCreationDateTime",
    ),
    **dict.fromkeys(
        ("rand", "random", "uuid", "newid"),
        "A row must be the same whenever it is computed again; sha256(…) of a key spreads evenly",
    ),
    **dict.fromkeys(
        AGGREGATES,
        'It needs a group: group_by(…).agg(total="sum(…)"); of several columns use greatest, least',
    ),
}


def names() -> list[str]:
    """Every function that can be called by its name."""
    return sorted(
        {name for name in FUNCTIONS if name.isidentifier()} - {"negative", "is_distinct", "like"}
        | {*FORMS, "mod"}
    )
