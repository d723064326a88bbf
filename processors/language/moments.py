"""Dates and timestamps: read from text and numbers, cut, moved, counted and written.

A timestamp is a `datetime` in UTC with microseconds, a date a `date`. There is no clock in here:
a row must be computable again at any time.
"""

from __future__ import annotations

import calendar
import re
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_FLOOR, Decimal
from typing import Any

from processors.language.runtime import UnfitValueError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_DAY = date(1970, 1, 1)
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_TIMESTAMP = re.compile(
    r"(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d)?)(?:[.,](\d+))?\s*(Z|z|[+-]\d\d(?::?\d\d)?)?)?",
    re.ASCII,
)
UNITS = ("year", "quarter", "month", "week", "day", "hour", "minute", "second")
_SECONDS = {"week": 604_800, "day": 86_400, "hour": 3_600, "minute": 60, "second": 1}
_MONTHS = {"year": 12, "quarter": 3, "month": 1}
_ZONE = "X" * 3  # with hours and minutes, or Z
# Letters of a format, as Java and Spark write them; source: DateTimeFormatter of Java.
_LETTERS = {
    "yyyy": r"(?P<year>\d{4})", "MM": r"(?P<month>\d\d)", "dd": r"(?P<day>\d\d)",
    "HH": r"(?P<hour>\d\d)", "mm": r"(?P<minute>\d\d)", "ss": r"(?P<second>\d\d)",
    "SSSSSS": r"(?P<micro>\d{6})", "SSS": r"(?P<milli>\d{3})",
    _ZONE: r"(?P<zone>Z|[+-]\d\d:\d\d)",
}  # fmt: skip
_PART = re.compile(
    r"'((?:[^']|'')*)'|yyyy|MM|dd|HH|mm|SSSSSS|SSS|ss|X{3}|([A-Za-z]+)|(.)", re.DOTALL
)
FORMAT_LETTERS = f"yyyy MM dd HH mm ss SSS SSSSSS {_ZONE}, other letters in '…'"


def to_timestamp(text: str, where: str) -> datetime:
    """ISO 8601; without a zone it is UTC, digits beyond microseconds are cut.

    Raises:
        UnfitValueError: it is none.
    """
    found = _TIMESTAMP.fullmatch(text.strip())
    if found is None:
        raise UnfitValueError("not an ISO 8601 timestamp", where=where, remedy=_REMEDY)
    day, time, fraction, zone = found.groups()
    micros = (fraction or "")[:6].ljust(6, "0")
    zone = "+00:00" if zone in (None, "Z", "z") else zone
    try:
        moment = datetime.fromisoformat(f"{day}T{time or '00:00'}{_seconds(time)}.{micros}{zone}")
        return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise UnfitValueError("no such day or time", where=where, remedy=_REMEDY) from None


_REMEDY = "try_cast(…) makes it NULL; to_timestamp(text, format) reads another format"


def _seconds(time: str | None) -> str:
    return "" if time is not None and time.count(":") == 2 else ":00"


def to_date(text: str, where: str) -> date:
    """`2025-11-23`; of a timestamp the day in UTC. Raises: UnfitValueError."""
    try:
        if _DATE.fullmatch(text.strip()):
            return date.fromisoformat(text.strip())
    except ValueError:
        raise UnfitValueError("no such day", where=where, remedy=_REMEDY) from None
    return to_timestamp(text, where).date()


def day_of(value: date | datetime) -> date:
    """The day, in UTC."""
    return value.date() if isinstance(value, datetime) else value


def midnight(value: date | datetime) -> datetime:
    """A date as the timestamp it begins with."""
    if isinstance(value, datetime):
        return value
    return datetime(value.year, value.month, value.day, tzinfo=UTC)


def timestamp_text(value: datetime) -> str:
    """As rows carry it: `2025-11-23T14:16:44.000000Z`, of one length, so that it sorts."""
    return value.isoformat(timespec="microseconds")[:26] + "Z"


def _after_epoch(micros: int, where: str) -> datetime:
    try:
        return _EPOCH + timedelta(microseconds=micros)
    except OverflowError:
        raise UnfitValueError("a time beyond the years 1 to 9999", where=where) from None


def from_seconds(value: Any, where: str) -> datetime:
    """Seconds since 1970, fractions too. Raises: UnfitValueError: beyond the years 1 to 9999."""
    return _from_number(value, 1_000_000, where)


def from_millis(value: Any, where: str) -> datetime:
    """Milliseconds since 1970. Raises: UnfitValueError: beyond the years 1 to 9999."""
    return _from_number(value, 1_000, where)


def _from_number(value: Any, factor: int, where: str) -> datetime:
    exact = Decimal(value)
    if not exact.is_finite() or exact.adjusted() > 20:
        raise UnfitValueError("a time beyond the years 1 to 9999", where=where)
    return _after_epoch(int((exact * factor).to_integral_value(ROUND_FLOOR)), where)


def unix_seconds(value: date | datetime) -> int:
    """Whole seconds since 1970, rounded down."""
    return (midnight(value) - _EPOCH) // timedelta(seconds=1)


def unix_millis(value: date | datetime) -> int:
    """Whole milliseconds since 1970, rounded down."""
    return (midnight(value) - _EPOCH) // timedelta(milliseconds=1)


def field_of(unit: str) -> Any:
    """A function that gives one field of a moment."""
    if unit == "quarter":
        return lambda value: (value.month + 2) // 3
    if unit == "dayofweek":
        return lambda value: value.isoweekday()
    if unit in ("hour", "minute", "second"):
        return lambda value: getattr(value, unit) if isinstance(value, datetime) else 0
    return lambda value: getattr(value, unit)


def date_trunc(unit: str, value: date | datetime) -> datetime:
    """The beginning of the year, …, second; a week begins on Monday."""
    moment = midnight(value)
    if unit in _MONTHS:
        span = _MONTHS[unit]
        month = (moment.month - 1) // span * span + 1
        return datetime(moment.year, month, 1, tzinfo=UTC)
    if unit == "week":
        start = max(moment.toordinal() - moment.weekday(), 1)
        return midnight(date.fromordinal(start))
    past = (moment - midnight(moment.date())) // timedelta(seconds=1)
    return midnight(moment.date()) + timedelta(seconds=past - past % _SECONDS[unit])


def date_add(value: date | datetime, count: int, where: str, unit: str = "day") -> Any:
    """Moved by a count of units; a month later is the same day, or the last of the month.

    Raises:
        UnfitValueError: beyond the years 1 to 9999.
    """
    try:
        if unit in _MONTHS:
            months = value.year * 12 + value.month - 1 + count * _MONTHS[unit]
            year, month = divmod(months, 12)
            last = calendar.monthrange(year, month + 1)[1]
            return value.replace(year=year, month=month + 1, day=min(value.day, last))
        return value + timedelta(seconds=count * _SECONDS[unit])
    except (ValueError, OverflowError, IndexError):
        raise UnfitValueError("a time beyond the years 1 to 9999", where=where) from None


def date_diff(unit: str, start: date | datetime, end: date | datetime) -> int:
    """Whole units from start to end, towards zero: 25 hours are 1 day."""
    first, last = midnight(start), midnight(end)
    if last < first:
        return -date_diff(unit, last, first)
    if unit in _MONTHS:
        months = (last.year - first.year) * 12 + last.month - first.month
        rest_first = (first.day, first.timetz())
        months -= (last.day, last.timetz()) < rest_first
        return months // _MONTHS[unit]
    return int((last - first) // timedelta(seconds=_SECONDS[unit]))


def reader(form: str) -> re.Pattern[str] | None:
    """A format as a pattern that reads it; None where it is no format."""
    written, seen = "", set()
    for part in _PART.finditer(form):
        quoted, letters, other = part.groups()
        if letters is not None or (quoted is None and other is None and part[0] in seen):
            return None
        if quoted is None and other is None:
            seen.add(part[0])
            written += _LETTERS[part[0]]
        else:
            literal = quoted.replace("''", "'") or "'" if quoted is not None else other
            written += re.escape(literal)
    return re.compile(written, re.ASCII) if {"yyyy", "MM", "dd"} <= seen else None


def read_with(text: str, pattern: re.Pattern[str], where: str) -> datetime:
    """A text in a format, as a timestamp. Raises: UnfitValueError: it is not in it."""
    found = pattern.fullmatch(text.strip())
    if found is None:
        raise UnfitValueError("not a time in this format", where=where)
    parts = found.groupdict()
    numbers = [int(parts.get(name) or 0) for name in ("hour", "minute", "second")]
    micros = (parts.get("micro") or parts.get("milli") or "").ljust(6, "0")
    zone = (parts.get("zone") or "Z").replace("Z", "+00:00")
    day = f"{parts['year']}-{parts['month']}-{parts['day']}"
    clock = ":".join(f"{number:02}" for number in numbers)
    return to_timestamp(f"{day}T{clock}.{micros}{zone}", where)


def written_with(value: date | datetime, form: str) -> str:
    """A moment in a format that `reader` knows, in UTC."""
    moment = midnight(value)
    fields = {
        "yyyy": f"{moment.year:04}", "MM": f"{moment.month:02}", "dd": f"{moment.day:02}",
        "HH": f"{moment.hour:02}", "mm": f"{moment.minute:02}", "ss": f"{moment.second:02}",
        "SSS": f"{moment.microsecond // 1000:03}", "SSSSSS": f"{moment.microsecond:06}",
        _ZONE: "Z",
    }  # fmt: skip

    def written(part: re.Match[str]) -> str:
        if part[1] is not None:
            return part[1].replace("''", "'") or "'"
        return fields.get(part[0], part[0])

    return _PART.sub(written, form)


def is_format(form: str) -> bool:
    """Whether `written_with` knows all its letters."""
    return all(part[2] is None for part in _PART.finditer(form))
