"""The command line as a user meets it: help, exit codes, one line per problem."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

COMMANDS = ("ui", "demo", "dev", "run", "check", "preview", "test", "verify", "query", "backfill")
GOOD = Path("processors/examples/orders.py").read_text()
ROOT = Path(__file__).parents[3]


def tailrace(
    *arguments: str, cwd: Path = ROOT, **environment: str
) -> subprocess.CompletedProcess[str]:
    kept = {n: v for n, v in os.environ.items() if not n.startswith(("TAILRACE_", "AWS_"))}
    account = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}
    return subprocess.run(
        [sys.executable, "-m", "bridge.control", *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        cwd=cwd,
        env=kept | account | {"COLUMNS": "200", "AWS_CONFIG_FILE": "/nowhere"} | environment,
    )


def only_line(done: subprocess.CompletedProcess[str]) -> str:
    """The one line on standard error; nothing else may be there."""
    assert "Traceback" not in done.stderr
    lines = [line for line in done.stderr.splitlines() if not line.startswith("{")]
    assert len(lines) == 1, done.stderr
    return lines[0]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_helps_with_an_example(command: str) -> None:
    done = tailrace(command, "--help")

    assert done.returncode == 0
    assert f"Example: tailrace {command}" in done.stdout


def test_help_is_there_at_once() -> None:
    code = (
        "import sys; import bridge.control.cli\n"
        "heavy = {'boto3', 'botocore', 'quixstreams', 'deltalake', 'pyarrow', 'confluent_kafka',\n"
        "         'pydantic_settings', 'prometheus_client', 'yaml'}\n"
        "print(sorted(heavy & sys.modules.keys()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60
    )

    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("arguments", [("nonsense",), ("run", "baker", "f.py"), ("verify",), ()])
def test_wrong_usage_is_exit_code_two(arguments: tuple[str, ...]) -> None:
    assert tailrace(*arguments).returncode == 2


@pytest.mark.parametrize("command", [("verify",), ("run", "connector"), ("run", "sink"), ("dev",)])
def test_a_missing_file_is_one_line(command: tuple[str, ...], tmp_path: Path) -> None:
    done = tailrace(*command, "absent.py", cwd=tmp_path)

    assert done.returncode == 2
    assert "absent.py: no such file" in only_line(done)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x = 1\n", "declares no transform"),
        ("import nothing_like_this\n", "can't be imported"),
        ("def (\n", "SyntaxError"),
        (GOOD.replace("NewImage.status.S", "NewImage.status.Q"), "status"),
        (GOOD.replace('"eventName"', '"eventNam"'), "eventName"),
    ],
    ids=["no transform", "import", "syntax", "path", "unknown field"],
)
def test_a_wrong_file_is_one_line(text: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(text)

    done = tailrace("run", "processor", str(file), cwd=tmp_path, TAILRACE_BROKERS="localhost:1")

    assert done.returncode == 2
    assert said in only_line(done)


def test_a_transform_of_that_name_must_be_there() -> None:
    done = tailrace("verify", "processors/examples/orders.py:process_order")

    assert done.returncode == 2
    assert "process_orders_stream" in only_line(done)


def test_an_unknown_setting_is_one_line(tmp_path: Path) -> None:
    done = tailrace("query", "select 1", cwd=tmp_path, TAILRACE_LAK="x")

    assert done.returncode == 2
    assert "Did you mean TAILRACE_LAKE?" in only_line(done)


@pytest.mark.parametrize("kind", ["connector", "processor", "sink"])
def test_no_brokers_is_one_line(kind: str, tmp_path: Path) -> None:
    file = str(ROOT / "processors/examples/orders.py")
    done = tailrace("run", kind, file, cwd=tmp_path)

    assert done.returncode == 2
    assert "TAILRACE_BROKERS" in only_line(done)


def test_a_file_with_several_transforms_asks_which(tmp_path: Path) -> None:
    second = GOOD.split("@transform")[1].replace("process_orders_stream", "second")
    file = tmp_path / "two.py"
    file.write_text(GOOD + "\n@transform" + second.replace('id="processed_orders"', 'id="other"'))

    done = tailrace("run", "processor", str(file), cwd=tmp_path, TAILRACE_BROKERS="localhost:1")

    assert done.returncode == 2
    assert "two.py:process_orders_stream" in only_line(done)


def test_two_transforms_can_not_feed_one_dataset(tmp_path: Path) -> None:
    second = GOOD.split("@transform")[1].replace("process_orders_stream", "second")
    file = tmp_path / "two.py"
    file.write_text(GOOD + "\n@transform" + second)

    done = tailrace("run", "sink", str(file), cwd=tmp_path, TAILRACE_BROKERS="localhost:1")

    assert done.returncode == 2
    assert "'processed_orders' is fed twice" in only_line(done)


def test_a_busy_metrics_port_is_one_line(tmp_path: Path) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        done = tailrace(
            "run",
            "connector",
            str(ROOT / "processors/examples/orders.py"),
            cwd=tmp_path,
            TAILRACE_BROKERS="localhost:1",
            TAILRACE_METRICS_PORT=str(server.getsockname()[1]),
        )

    assert done.returncode == 2
    assert "TAILRACE_METRICS_PORT" in only_line(done)


def test_dev_holds_its_folder(tmp_path: Path) -> None:
    from bridge.control.folder import held

    with held(tmp_path / "run"):
        done = tailrace(
            "dev", str(ROOT / "processors/examples/orders.py"), "--dir", str(tmp_path / "run")
        )

    assert done.returncode == 2
    assert "another run uses it" in only_line(done)


def test_a_demo_does_not_touch_other_peoples_folders(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").touch()

    done = tailrace("demo", "--dir", str(tmp_path), "--no-ui")

    assert done.returncode == 2
    assert "not empty" in only_line(done)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize("consumer", ["sink", "sink:", "baker:x"])
def test_a_consumer_that_is_none_is_one_line(consumer: str, tmp_path: Path) -> None:
    done = tailrace(
        "backfill", "orders", "--accept-gap", consumer, cwd=tmp_path, TAILRACE_BROKERS="localhost:1"
    )

    assert done.returncode == 2
    assert "--accept-gap" in only_line(done)


def test_an_unreachable_broker_is_one_line(tmp_path: Path) -> None:
    code = (
        "import sys; import bridge.wire.topics as topics\n"
        "topics.existing_topics.__kwdefaults__['timeout_s'] = 2.0\n"
        "from bridge.control.cli import main\n"
        "sys.argv = ['tailrace', 'backfill', 'orders']; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        cwd=tmp_path,
        env=os.environ | {"TAILRACE_BROKERS": "127.0.0.1:9", "PYTHONPATH": str(ROOT)},
    )

    assert done.returncode == 1
    assert "TAILRACE_BROKERS" in only_line(done)
