"""The wire to a stage goes bad while it works: silence, latency, resets, a trickle.

Each stage in turn speaks to Kafka, and the connector to DynamoDB, through a proxy of its own. While
the wire is bad the stage must neither spin nor grow nor call itself healthy, and it must go on by
itself: nobody restarts it.
"""

from __future__ import annotations

import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from bridge.wire.topics import TopicNames
from tests.benchmarks.meter import cpu_s, peak_rss_bytes
from tests.fakes.dynamodb import running
from tests.integration.conftest import COPY_COLUMNS, Factory, Product
from tests.parts.brokers import KafkaBroker
from tests.parts.dynamodb import DynamoDB
from tests.parts.ports import free_port
from tests.parts.proxy import BLACK_HOLE, FAIR, Proxy, Weather
from tests.parts.waiting import wait_until
from tests.product.oracle import check_changes, check_rows, expected_copies, table_rows
from tests.product.pipeline import STAGES

pytestmark = [
    pytest.mark.real,
    pytest.mark.integration,
    pytest.mark.e2e,
    pytest.mark.needs("restart", "expiry", "txn_timeout"),
]

RESUME_S = 30.0
TELL_S = 60.0
# Of a core. What a stage does while it is cut off: it asks now and then whether the wire is back.
CUT_OFF_CPU = 0.25
GROWTH_BYTES = 150 * 1024 * 1024
SLOW = Weather(round_trip_s=2.0)
TRICKLE = Weather(bytes_per_s=20_000)


@dataclass(frozen=True, kw_only=True)
class Lengths:
    """Seconds that each kind of weather lasts, and writes a second meanwhile."""

    silence_s: float
    rest_s: float
    writes_per_s: float


CI = Lengths(silence_s=20, rest_s=6, writes_per_s=100)
SOAK = Lengths(silence_s=300, rest_s=60, writes_per_s=200)


@dataclass(frozen=True)
class Line:
    """A pipeline whose stages speak through proxies; `aws` is the connector's other side."""

    product: Product
    proxies: dict[str, Proxy]
    ports: dict[str, int]

    def health(self, stage: str) -> str:
        """What its /healthz says: "ok", or the trouble."""
        try:
            with urllib.request.urlopen(
                f"http://127.0.0.1:{self.ports[stage]}/healthz", timeout=5
            ) as answer:
                return str(answer.read().decode().strip())
        except urllib.error.HTTPError as error:
            with error:
                return error.read().decode().strip()
        except OSError as error:
            return f"does not answer: {error}"

    def newest(self) -> int:
        """The highest counter the table has."""
        rows = table_rows(self.product.uri, {}, ("c",))
        return max((int(row["c"]) for row in rows.values()), default=0)

    def await_progress(self) -> float:
        """Wait until something that is written from now on is in the table; seconds it took."""
        begun = time.monotonic()
        counter = self.product.workload._counter + 1
        try:
            wait_until(
                lambda: self.newest() >= counter,
                timeout_s=RESUME_S,
                what="a change made after the trouble to be in the table",
                interval_s=0.2,
            )
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.product.pipeline.logs()}") from None
        return time.monotonic() - begun


@pytest.fixture(scope="module")
def detoured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[KafkaBroker, dict]]:
    """Apache Kafka with a proxy for each stage."""
    ports = {stage: free_port() for stage in STAGES}
    broker = KafkaBroker(tmp_path_factory.mktemp("kafka"), ports)
    broker.start()
    proxies = {stage: Proxy(broker.behind[stage], ports[stage]) for stage in STAGES}
    for proxy in proxies.values():
        proxy.start()
    yield broker, proxies
    for proxy in proxies.values():
        proxy.close()
    broker.kill()


@pytest.fixture
def line(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    detoured: tuple[KafkaBroker, dict[str, Proxy]],
    namespace: str,
) -> Iterator[Line]:
    """A pipeline on it, at work."""
    broker, proxies = detoured
    before = request.session.testsfailed
    with running(shards=4, rotate_every=400, split_rate=0.3, seed=7) as remote:
        source = DynamoDB(remote.endpoint)
        with Proxy(int(remote.endpoint.rpartition(":")[2])) as aws:
            factory = Factory(tmp_path, broker, source, namespace)
            made = factory(existing=60, keys=100)
            ports = {stage: free_port() for stage in STAGES}
            for stage in STAGES:
                made.pipeline.own[stage] = {
                    "TAILRACE_BROKERS": f"127.0.0.1:{proxies[stage].port}",
                    "TAILRACE_METRICS_PORT": str(ports[stage]),
                }
            detour = DynamoDB(f"http://127.0.0.1:{aws.port}")
            made.pipeline.own["connector"] |= detour.environment
            made.pipeline.start()
            made.await_equal(expected_copies, COPY_COLUMNS)
            yield Line(made, {**proxies, "aws": aws}, ports)
            factory.close(failed=request.session.testsfailed > before)
    for proxy in proxies.values():
        proxy.set(FAIR)


class Writes:
    """A workload that goes on in the background for the length of a `with`."""

    def __init__(self, product: Product, rate_per_s: float) -> None:
        self._product, self._rate = product, rate_per_s
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="writes", daemon=True)
        self._failure: BaseException | None = None

    def _run(self) -> None:
        try:
            while not self._over.is_set():
                for written in self._product.workload.batches(25):
                    self._over.wait(written / self._rate)
        except BaseException as error:
            self._failure = error

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(30)
        if self._failure is not None:
            raise self._failure


def for_seconds(seconds: float, act: Callable[[], object] = lambda: None) -> None:
    """Let the trouble last, acting every second."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        act()
        time.sleep(min(1.0, max(0.0, until - time.monotonic())))


def silence(line: Line, place: str, stage: str, lasts_s: float) -> str:
    """Nothing arrives on either side; what the stage said of its health meanwhile."""
    process = line.product.pipeline.stages[stage]
    pid, memory = process.pid, peak_rss_bytes(process.pid)
    assert line.health(stage) == "ok"
    line.proxies[place].set(BLACK_HOLE)
    begun, used_s = time.monotonic(), cpu_s(pid)
    said = wait_until(
        lambda: (told := line.health(stage)) != "ok" and told,
        timeout_s=TELL_S,
        what=f"the {stage} to say that it is in trouble",
        interval_s=0.5,
    )
    for_seconds(lasts_s - (time.monotonic() - begun))
    assert process.alive, process.log_tail()
    assert process.pid == pid
    share = (cpu_s(pid) - used_s) / (time.monotonic() - begun)
    assert share < CUT_OFF_CPU, f"the {stage} used {share:.2f} of a core while it was cut off"
    assert peak_rss_bytes(pid) < memory + GROWTH_BYTES
    line.proxies[place].set(FAIR)
    return said


def endure(line: Line, place: str, stage: str, lengths: Lengths) -> None:
    """All weathers in turn, then calm, and the table is right."""
    proxy, process = line.proxies[place], line.product.pipeline.stages[stage]
    with Writes(line.product, lengths.writes_per_s):
        line.await_progress()
        figures: dict[str, object] = {"said": silence(line, place, stage, lengths.silence_s)}
        figures["after silence"] = line.await_progress()
        for name, weather in (("slow", SLOW), ("trickle", TRICKLE)):
            proxy.set(weather)
            for_seconds(lengths.rest_s)
            proxy.set(FAIR)
            figures[name] = line.await_progress()
        for_seconds(lengths.rest_s, proxy.reset)
        figures["after resets"] = line.await_progress()
        wait_until(
            lambda: line.health(stage) == "ok", timeout_s=RESUME_S, what="it to be well again"
        )
    print(place, figures)
    assert all(each.alive for each in line.product.pipeline.stages.values())
    assert process.exit_code is None
    settled(line)


def settled(line: Line) -> None:
    """Every write is in the topics once and in order, and the table equals the source."""
    made = line.product
    made.await_equal(expected_copies, COPY_COLUMNS)
    kafka = replace(made.kafka)
    assert check_changes(kafka, made.workload) == made.workload.writes
    assert check_rows(kafka, "out") == made.workload.writes
    assert TopicNames(kafka.namespace)


PLACES = [(stage, stage) for stage in STAGES] + [("aws", "connector")]


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("place", "stage"), PLACES, ids=[place for place, _ in PLACES])
def test_a_stage_with_a_bad_wire_goes_on_by_itself(line: Line, place: str, stage: str) -> None:
    endure(line, place, stage, CI)


@pytest.mark.soak
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(("place", "stage"), PLACES, ids=[place for place, _ in PLACES])
def test_five_minutes_of_silence_change_nothing(line: Line, place: str, stage: str) -> None:
    endure(line, place, stage, SOAK)
