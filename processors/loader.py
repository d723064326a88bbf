"""A user's file into transforms. Imports the file and nothing heavy."""

from __future__ import annotations

import importlib.util
import sys
import traceback
from pathlib import Path

from bridge.wire.errors import ConfigurationError, TailraceError
from processors.language import problems
from processors.transform import Transform


def load_transforms(path: Path, name: str | None = None) -> list[Transform]:
    """The transforms a file declares, in its order; with `name` that one only.

    Raises:
        ConfigurationError: no such file, it can't be imported, it declares no transform, none of
            this name, or two of one name.
    """
    path = Path(path)
    if not path.is_file():
        raise ConfigurationError("no such file", where=str(path))
    found = _transforms(path)
    where = str(path)
    if not found:
        raise ConfigurationError(
            "the file declares no transform",
            where=where,
            remedy="Decorate a function: @transform(input_mapping=…, output_mapping=…)",
        )
    names = [transform.name for transform in found]
    for repeated in names:
        if names.count(repeated) > 1:
            raise ConfigurationError(f"two transforms are named {repeated!r}", where=where)
    if name is None:
        return found
    if name not in names:
        raise ConfigurationError(
            f"no transform is named {name!r}", where=where, remedy=problems.nearest(name, names)
        )
    return [found[names.index(name)]]


def _transforms(path: Path) -> list[Transform]:
    module_name = f"tailrace_user_{path.stem}"
    spec = importlib.util.spec_from_file_location(module_name, path)
    if spec is None or spec.loader is None:
        raise ConfigurationError("not a Python file", where=str(path), remedy="Name a .py file")
    module = importlib.util.module_from_spec(spec)
    # Neighbours of the file can be imported from it, as when it is run; dataclasses look the
    # module up by its name.
    folder = str(path.resolve().parent)
    sys.path.insert(0, folder)
    sys.modules[module_name] = module
    try:
        spec.loader.exec_module(module)
    except TailraceError as error:
        where = f"{path}{_line_of(error, path)}: {error.where}".removesuffix(": ")
        raise ConfigurationError(error.what, where=where, remedy=error.remedy) from None
    except Exception as error:
        line = (
            f" (line {error.lineno})" if isinstance(error, SyntaxError) else _line_of(error, path)
        )
        text = error.msg if isinstance(error, SyntaxError) else str(error)
        raise ConfigurationError(
            f"it can't be imported: {type(error).__name__}: {text}", where=f"{path}{line}"
        ) from error
    finally:
        sys.path.remove(folder)
    found = [value for value in vars(module).values() if isinstance(value, Transform)]
    return list({id(transform): transform for transform in found}.values())


def _line_of(error: BaseException, path: Path) -> str:
    """The last line of the user's own file the error passed through."""
    own = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == str(path)]
    return f" (line {own[-1].lineno})" if own else ""
