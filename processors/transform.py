"""@transform: a function's declaration of what it reads and writes. Runs nothing, opens nothing."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from bridge.wire.errors import ConfigurationError
from processors.chain import Chain
from processors.language import problems
from processors.stream import Input, Output

TransformFunction = Callable[..., Chain | Mapping[str, Chain]]

# The name becomes part of a topic's, a group's and a transactional id's name.
_NAME = re.compile(r"[A-Za-z0-9_]{1,100}")
_OTHER_GROUPS = frozenset({"connector", "sink", "reader"})


@dataclass(frozen=True, slots=True)
class Transform:
    """A named function with its inputs and outputs, by the names its author gave them."""

    name: str
    inputs: Mapping[str, Input]
    outputs: Mapping[str, Output]
    function: TransformFunction

    def __call__(self, *args: Any, **kwargs: Any) -> Chain | Mapping[str, Chain]:
        """The function itself."""
        return self.function(*args, **kwargs)


def transform(
    *, input_mapping: Mapping[str, Input], output_mapping: Mapping[str, Output]
) -> Callable[[TransformFunction], Transform]:
    """Declare a function as a transform.

    Args:
        input_mapping: the function's argument names, each with an Input.
        output_mapping: a name per output. With one output the function returns its stream, with
            several a dict of streams by these names.

    Raises:
        ConfigurationError: a mapping is empty or holds something else, or the function's arguments
            are not the names of `input_mapping`.
    """
    _check_mapping("input_mapping", input_mapping, Input, "Input(Stream(source=…))")
    _check_mapping("output_mapping", output_mapping, Output, "Output(Dataset(id=…))")

    def declare(function: TransformFunction) -> Transform:
        name = getattr(function, "__name__", "")
        where = f"transform {name}"
        if not _NAME.fullmatch(name) or name in _OTHER_GROUPS:
            raise ConfigurationError(
                f"{name!r} can't be the name of a transform",
                where="@transform",
                remedy="Use 1 to 100 letters, digits and _ "
                f"(not {', '.join(sorted(_OTHER_GROUPS))})",
            )
        _check_arguments(function, input_mapping, where)
        _check_datasets(output_mapping, where)
        return Transform(name, dict(input_mapping), dict(output_mapping), function)

    return declare


def _check_mapping(name: str, mapping: object, member: type, remedy: str) -> None:
    where = f"@transform({name}=…)"
    if not isinstance(mapping, Mapping) or not mapping:
        raise ConfigurationError(
            "a dict with at least one entry is needed",
            where=where,
            remedy=f'Write {name}={{"my_name": {remedy}}}',
        )
    for key, value in mapping.items():
        if not (isinstance(key, str) and key.isidentifier()):
            raise ConfigurationError(f"{key!r} is not a name", where=where)
        if not isinstance(value, member):
            raise ConfigurationError(
                f"{key!r} is a {type(value).__name__}, not an {member.__name__}",
                where=where,
                remedy=f'Write "{key}": {remedy}',
            )


def _check_arguments(function: TransformFunction, inputs: Mapping[str, Input], where: str) -> None:
    taken = [
        name
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.default is parameter.empty
        and parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    ]
    for name in taken:
        if name not in inputs:
            raise ConfigurationError(
                f"the argument {name!r} is not in input_mapping",
                where=where,
                remedy=problems.nearest(name, inputs),
            )
    for name in inputs:
        if name not in taken:
            raise ConfigurationError(
                f"input_mapping names {name!r}, the function has no such argument",
                where=where,
                remedy=f"Write def {where.removeprefix('transform ')}({', '.join(inputs)})",
            )


def _check_datasets(outputs: Mapping[str, Output], where: str) -> None:
    ids = [output.dataset.id for output in outputs.values()]
    for dataset in ids:
        if ids.count(dataset) > 1:
            raise ConfigurationError(f"two outputs write dataset {dataset!r}", where=where)
