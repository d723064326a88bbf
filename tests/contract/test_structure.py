"""The house: who may import whom, what importing a public name may load, how long things may be."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("bridge", "processors", "sinks")
SOURCES = sorted(
    path for package in (*PACKAGES, "tests") for path in (ROOT / package).rglob("*.py")
)
# Kept as its author, the customer, wrote it.
CUSTOMERS_FILE = ROOT / "processors" / "examples" / "orders.py"
FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 60
BANNED_MODULES = {"utils", "util", "common", "helpers", "base", "misc", "types", "constants"}
TOP_LEVEL = {
    "pyproject.toml", "bridge", "processors", "sinks", "docker", "tests", "README.md",
    "LICENSE", "CHANGELOG.md", "requirements.lock", "RELIABILITY.md", "BENCHMARKS.md",
    "SECURITY.md",
}  # fmt: skip


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *command], cwd=ROOT, capture_output=True, text=True, check=False
    )


def test_import_contracts_hold():
    result = run("-c", "from importlinter.cli import lint_imports_command as c; c()")
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    ("statement", "names"),
    [
        ("import bridge", ["DynamoDBSource"]),
        (
            "import processors",
            ["Input", "Output", "Stream", "col", "lit", "transform", "tumbling", "when"],
        ),
        ("import sinks", ["Dataset"]),
    ],
)
def test_public_names_are_exactly_these_and_light_to_import(statement, names):
    package = statement.split()[1]
    heavy = "{'boto3', 'botocore', 'quixstreams', 'deltalake', 'pyarrow', 'moto', 'rocksdict'}"
    code = (
        "import socket, sys\n"
        "def refuse(*a, **k): raise AssertionError('a socket was opened')\n"
        "socket.socket.connect = refuse\n"
        f"{statement}\n"
        f"print(sorted({package}.__all__))\n"
        f"print(sorted({heavy} & set(sys.modules)))\n"
    )
    result = run("-c", code)
    assert result.returncode == 0, result.stderr
    exported, loaded = result.stdout.splitlines()
    assert exported == str(sorted(names))
    assert loaded == "[]"


def test_types_are_strict_and_right():
    result = run("-m", "mypy")
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("command", [("check",), ("format", "--check")])
def test_style(command):
    result = run("-m", "ruff", *command, *PACKAGES, "tests")
    assert result.returncode == 0, result.stdout + result.stderr


def test_files_stay_short():
    lengths = {path: len(path.read_text().splitlines()) for path in SOURCES}
    assert not {str(p): n for p, n in lengths.items() if n > FILE_LINES_MAX}


def test_functions_stay_short():
    too_long = {}
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or 0) - node.lineno + 1
                if lines > FUNCTION_LINES_MAX:
                    too_long[f"{path.relative_to(ROOT)}:{node.name}"] = lines
    assert not too_long


def test_no_module_has_a_name_that_says_nothing():
    assert not [str(path) for path in SOURCES if path.stem in BANNED_MODULES]


def test_every_module_says_why_it_exists():
    silent = [
        str(path.relative_to(ROOT))
        for path in SOURCES
        if path != CUSTOMERS_FILE
        and path.read_text().strip()
        and not ast.get_docstring(ast.parse(path.read_text()))
    ]
    assert not silent


def test_the_top_level_is_the_agreed_one():
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode:
        pytest.fail("the tests run in a clone: git ls-files failed")
    names = {line.split("/")[0] for line in listed.stdout.splitlines()}
    assert not {name for name in names if not name.startswith(".")} - TOP_LEVEL


def test_nothing_is_left_to_do_later():
    marks = ("TO" + "DO", "FIX" + "ME", "XX" + "X")
    left = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in SOURCES
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if any(mark in line for mark in marks)
    ]
    assert not left
