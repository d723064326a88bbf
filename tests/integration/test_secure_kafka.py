"""Apache Kafka behind TLS, with SASL or client certificates: the whole pipeline, and refusals."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from tests.integration.conftest import COPY_COLUMNS, Factory
from tests.parts.secure import PASSWORD, Authority, SecureKafka
from tests.parts.waiting import wait_until
from tests.product.oracle import expected_copies

pytestmark = [
    pytest.mark.integration,
    pytest.mark.real,
    pytest.mark.e2e,
    pytest.mark.timeout(300),
]
# Seconds of a machine that does other things too; the question itself is given 8.
REFUSED_S = 30.0
PREFIX = "TAILRACE_KAFKA__"


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureKafka]:
    """A broker nobody gets into in the clear, but the tests' own eyes."""
    broker = SecureKafka(tmp_path_factory.mktemp("secure"))
    broker.start()
    yield broker
    broker.kill()


@pytest.mark.parametrize(
    ("listener", "mechanism"), [("sasl", "SCRAM-SHA-512"), ("sasl", "PLAIN"), ("mutual", "")]
)
def test_the_pipeline_runs_behind_tls(
    product: Factory, secure: SecureKafka, listener: str, mechanism: str
) -> None:
    settings = secure.settings(listener, mechanism)
    made = product(existing=40, keys=50, broker=secure, settings=settings)
    made.pipeline.start()
    made.workload.run(100)
    made.await_equal(expected_copies, COPY_COLUMNS)
    report = made.pipeline.verify()
    assert (report["exit"], report["verified"]) == (0, True), report
    # Each process says how it is every few seconds.
    wait_until(
        lambda: made.pipeline.command("status", str(made.pipeline.file)).returncode == 0,
        timeout_s=30,
        what="status to find all well",
    )
    assert [made.pipeline.stages[name].stop() for name in made.pipeline.stages] == [0, 0, 0]
    assert PASSWORD not in made.pipeline.logs()


def test_in_the_clear_nobody_gets_in(secure: SecureKafka) -> None:
    for port in secure.behind.values():
        client = AdminClient({"bootstrap.servers": f"127.0.0.1:{port}", "log_level": 0})
        with pytest.raises(KafkaException):
            client.list_topics(timeout=3)


@pytest.mark.parametrize(
    ("listener", "wrong", "said"),
    [
        ("sasl", {"SASL_PASSWORD": "canary-wrong-password"}, "TAILRACE_KAFKA__SASL_PASSWORD"),
        ("sasl", {"SASL_USERNAME": "nobody"}, "TAILRACE_KAFKA__SASL_USERNAME"),
        ("sasl", {"SSL_CA_LOCATION": "OTHER"}, "TAILRACE_KAFKA__SSL_CA_LOCATION"),
        ("mutual", {"SSL_CA_LOCATION": "OTHER"}, "TAILRACE_KAFKA__SSL_CA_LOCATION"),
        ("mutual", {"SSL_CERTIFICATE_LOCATION": "", "SSL_KEY_LOCATION": ""}, "SSL_KEY_LOCATION"),
        ("sasl", {"SSL_CA_LOCATION": "/absent.pem"}, "/absent.pem"),
    ],
)
def test_a_refusal_is_told_within_seconds(
    product: Factory,
    secure: SecureKafka,
    tmp_path: Path,
    listener: str,
    wrong: dict[str, str],
    said: str,
) -> None:
    other = Authority(tmp_path, "other").location
    changed = {
        f"{PREFIX}{name}": str(other) if value == "OTHER" else value
        for name, value in wrong.items()
    }
    settings = secure.settings(listener) | changed
    settings = {name: value for name, value in settings.items() if value}
    made = product(broker=secure, settings=settings)
    file = str(made.pipeline.file)
    for command in (["run", "connector", file], ["run", "processor", file], ["status", file]):
        began_s = time.monotonic()
        result = made.pipeline.command(*command)
        assert time.monotonic() - began_s < REFUSED_S
        assert result.returncode == 2, result.stderr
        (line,) = [text for text in result.stderr.splitlines() if text.startswith("tailrace: ")]
        assert said in line
        assert "canary" not in result.stdout + result.stderr


def test_a_password_that_comes_from_a_file_lets_in(
    product: Factory, secure: SecureKafka, tmp_path: Path
) -> None:
    mounted = tmp_path / "password"
    mounted.write_text(f"{PASSWORD}\n")
    settings = secure.settings("sasl") | {f"{PREFIX}SASL_PASSWORD": f"${{file:{mounted}}}"}
    made = product(broker=secure, settings=settings)
    result = made.pipeline.command("dlq", "ls")
    assert (result.returncode, result.stderr) == (0, "")
