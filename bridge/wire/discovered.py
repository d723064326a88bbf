"""Columns nobody declared: which name an attribute of an unfolded item (`*`) has in the table.

What is found in items has no author to name it, and several processes find it in any order. So the
name follows from the attribute and its type alone, but for one choice, which the table makes:

- the *stem* of an attribute is its name, with what no column can hold spelled `_x20_` (hex of the
  character; a literal `_x20_` is spelled `_x5f_x20_`);
- the first type that comes into the table has the stem as its name, every other type the stem with
  its type behind: `price__s`. The table remembers each column's type, so there is no second answer;
- a stem that is reserved (`_key`) or itself ends with a type (`price__s`) always has its type
  behind it, so two attributes never meet in one column;
- Delta tells no capitals apart: of two spellings the second has its type behind it, and where even
  that is taken there is no column, and the row is a dead letter.

The same function gives names in processors, sinks and `verify`. A processor's answer is a proposal
(it knows what it and others registered), the sink's, made on the table itself, is final.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Mapping
from typing import NamedTuple

from bridge.wire.envelope import RESERVED_COLUMNS
from bridge.wire.errors import WireError

TAGS = ("S", "N", "B", "BOOL", "NULL", "SS", "NS", "BS", "M", "L")
# Column types of what is found; a NULL alone has no type and makes no column.
ATTRIBUTE_TYPES = {
    "S": "string",
    "N": "decimal(38,18)",
    "B": "binary",
    "BOOL": "boolean",
    **dict.fromkeys(("SS", "NS", "BS", "M", "L"), "json"),
}
STEM_CHARACTERS_MAX = 200
# Refused by Parquet and Delta without column mapping; control characters by their engines.
_REFUSED = re.compile(r"[\x00-\x20\x7f,;{}()=]")
_SPELLED = re.compile(r"_(?=x[0-9a-f]{2}_)", re.IGNORECASE)
_TYPED = re.compile(rf".*__({'|'.join(TAGS)})", re.IGNORECASE | re.DOTALL)


class Taken(NamedTuple):
    """A column there is: its name, the type tag of what it was found as ("" if declared), its type.

    Types are only compared with each other: wire types with wire types, Arrow's with Arrow's.
    """

    name: str
    tag: str
    type: Hashable


def stem_of(attribute: str) -> str:
    """The attribute's name as far as a column can have it; no two attributes share one.

    Raises:
        WireError: it is longer than 200 characters.
    """
    escaped = _SPELLED.sub("_x5f_", attribute)
    stem = _REFUSED.sub(lambda found: f"_x{ord(found[0]):02x}_", escaped)
    if len(stem) > STEM_CHARACTERS_MAX:
        raise WireError(
            f"an attribute's name of {len(attribute)} characters is too long for a column",
            remedy="Drop it, or select the attributes by name",
        )
    return stem


def typed_name(stem: str, tag: str) -> str:
    """The stem with its type behind it."""
    return f"{stem}__{tag.lower()}"


def is_plain(stem: str) -> bool:
    """Whether a column may have the stem alone as its name."""
    return stem.lower() not in RESERVED_COLUMNS and not _TYPED.fullmatch(stem)


def ends_with_type(name: str) -> bool:
    """Whether a name is kept for columns of a second type."""
    return _TYPED.fullmatch(name) is not None


def stem_of_column(name: str, tag: str) -> str:
    """The stem a found column's name was made of."""
    return name.removesuffix(f"__{tag.lower()}")


def assign(stem: str, tag: str, kind: Hashable, taken: Mapping[str, Taken]) -> str | None:
    """The name of the column for this stem and type, taken already or still free.

    Args:
        taken: the columns there are, by name in lower case.

    Returns:
        None where every name it could have belongs to something else.
    """
    names = [stem] if is_plain(stem) else []
    for name in (*names, typed_name(stem, tag)):
        found = taken.get(name.lower())
        if found is None:
            return name
        declared = not found.tag and name == stem and found.type == kind
        if found.name == name and (found.tag == tag or declared):
            return name
    return None


def by_name(columns: Iterable[Taken]) -> dict[str, Taken]:
    """As `assign` wants them."""
    return {column.name.lower(): column for column in columns}
