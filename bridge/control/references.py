"""Secrets: which options hold one, and how one is named without being written down.

`${env:NAME}` stands for a variable of the environment, `${file:PATH}` for the content of a file, as
Kubernetes and Docker mount secrets. Both are read once, when the settings are loaded.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

_REFERENCE = re.compile(r"\$\{(\w+):([^}]+)\}")
_SECRET = re.compile(r"(?i)password|secret|token|key|pem|credential|oauthbearer\.config")
# What these end with is a name, a place or a switch; certificates are public.
_NAMED = re.compile(r"(?i).*(id|location|file|url|path|uri|enabled|(ca|certificate)[._]pem)")


def is_secret(option: str) -> bool:
    """Whether an option of Kafka's or the object store's client holds a secret, by its name."""
    return _SECRET.search(option) is not None and _NAMED.fullmatch(option) is None


def check_not_written(options: object) -> None:
    """Refuse secrets that stand in a settings file.

    Raises:
        ValueError: there is one; the message names the option, never the value.
    """
    for option, value in options.items() if isinstance(options, Mapping) else ():
        written = value is not None and not _REFERENCE.fullmatch(str(value))
        if written and is_secret(str(option)):
            raise ValueError(
                f"{str(option)[:60]} is a secret: write ${{env:NAME}} or ${{file:PATH}} there, "
                "or set it in the environment"
            )


def resolve(option: str, value: object, environment: Mapping[str, str]) -> object:
    """What a reference stands for; any other value as it is.

    Raises:
        ValueError: the variable is not set, the file can't be read, or the kind is unknown.
    """
    found = _REFERENCE.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        return value
    kind, place = found.groups()
    if kind == "env":
        if place not in environment:
            raise ValueError(f"{option}: the variable {place} is not set")
        return environment[place]
    if kind == "file":
        try:
            return Path(place).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            cause = error.strerror if isinstance(error, OSError) else "it is no text"
            raise ValueError(f"{option}: can't read {place}: {cause}") from None
    raise ValueError(f"{option}: write ${{env:NAME}} or ${{file:PATH}}, not ${{{kind}:…}}")
