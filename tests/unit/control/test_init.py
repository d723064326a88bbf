"""A new project is right from its first minute: checked, tested, settings and Compose file read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from bridge.control.project.writing import project
from bridge.wire.errors import ConfigurationError
from tests.unit.control.test_cli import only_line, tailrace

ROOT = Path(__file__).parents[3]
NAMES = [
    ("orders",),
    ("My-Orders_2", "--table", "prod.orders", "--region", "eu-central-1", "--key", "order id:N"),
]


@pytest.mark.parametrize("arguments", NAMES, ids=["plain", "everything"])
def test_a_new_project_passes_its_own_cases(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    name = arguments[0]
    done = tailrace("init", *arguments, "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    folder = tmp_path / name
    assert said["written"] is True
    found = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert found == set(said["files"])

    (transform,) = folder.glob("transforms/*.py")
    file = str(transform.relative_to(folder))
    checked = tailrace("check", file, "--json", cwd=folder)
    assert checked.returncode == 0, checked.stderr
    table = arguments[2] if len(arguments) > 1 else name
    assert table in checked.stdout
    tested = tailrace("test", file, "--json", cwd=folder)
    assert tested.returncode == 0, tested.stdout + tested.stderr
    said = json.loads(tested.stdout)
    assert (len(said["cases"]), said["failed"]) == (2, 0)


def test_a_new_projects_cases_can_fail(tmp_path: Path) -> None:
    tailrace("init", "orders", cwd=tmp_path)
    file = tmp_path / "orders" / "transforms" / "orders.py"
    file.write_text(file.read_text().replace("as total", "as sum"))

    assert tailrace("test", "transforms/orders.py", cwd=tmp_path / "orders").returncode == 1


def test_its_settings_are_settings_with_every_example_taken_in(tmp_path: Path) -> None:
    text = project("orders")["tailrace.yaml"]
    uncommented = "\n".join(
        line.removeprefix("# ") if ":" in line else line for line in text.splitlines()[3:]
    )
    assert set(yaml.safe_load(text)) == {"namespace"}
    assert set(yaml.safe_load(uncommented)) == {"brokers", "lake", "namespace", "kafka"}


def test_its_compose_file_runs_each_stage_confined_on_the_brokers_of_the_example() -> None:
    compose = yaml.safe_load(project("My-Orders")["compose.yaml"])
    example = yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text())
    services = compose["services"]
    assert set(services) == {"connector", "my-orders", "sink", "page", "control", "broker"}
    assert services["broker"]["image"] == example["services"]["broker"]["image"]
    for name, image in [("connector", "connector"), ("my-orders", "processor"), ("sink", "sink")]:
        service = services[name]
        assert service["image"] == f"tailrace-{image}:${{TAILRACE_TAG:-local}}"
        for what in ("read_only", "tmpfs", "cap_drop", "security_opt", "restart"):
            assert service[what] == example["services"]["sink"][what], what
        assert service["environment"]["TAILRACE_BROKERS"] == "broker:9092"
    state = next(v for v in services["my-orders"]["volumes"] if v.endswith("/var/lib/tailrace"))
    assert state.partition(":")[0] in compose["volumes"]


def test_nothing_is_overwritten_and_a_dry_run_writes_nothing(tmp_path: Path) -> None:
    dry = tailrace("init", "orders", "--dry-run", cwd=tmp_path)
    assert "would write orders/transforms/orders.py" in dry.stdout
    assert list(tmp_path.iterdir()) == []

    folder = tmp_path / "orders"
    folder.mkdir()
    assert tailrace("init", "orders", cwd=tmp_path).returncode == 0, "an empty folder will do"
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    again = tailrace("init", "orders", cwd=tmp_path)
    assert again.returncode == 2
    assert "nothing is overwritten" in only_line(again)
    assert before == {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"name": "../x"}, "no name for a project"),
        ({"name": "or"}, "no name of a DynamoDB table"),
        ({"name": "orders", "region": "Frankfurt!"}, "no AWS region"),
        ({"name": "orders", "key": "id"}, "no hash key"),
        ({"name": "orders", "key": "id:B"}, "no hash key"),
        ({"name": "orders", "key": 'i"d:S'}, "no hash key"),
    ],
)
def test_what_is_no_name_is_refused(arguments: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        project(**arguments)
