"""Which real parts a test run uses, and what that leaves out.

The same tests run on the embedded parts, on Apache Kafka and DynamoDB Local, or on whatever answers
at an address. A test that needs what the chosen parts lack is deselected and listed at the end:
never passed, never skipped. A part that can't start is an error.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Generator, Iterator

import pytest

from bridge.wire.kafka import KafkaConfig
from tests.parts import brokers, object_store
from tests.parts import dynamodb as dynamodb_parts

pytest_plugins = ["pytester"]
# As pyproject.toml has it.
_DEFAULT_LANE = "not real and not containers and not aws and not soak and not bench"
_PROCESSES = 3
# Words in the paths of files, the longest to run first.
_LONG = (
    "containers/",
    "_kills",
    "e2e/",
    "test_network",
    "test_product",
    "test_page",
    "swarm",
    "integration/",
    "fault/",
)
_TOKEN = uuid.uuid4().hex[:6]
_left_out = pytest.StashKey[dict[str, list[str]]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("tailrace", "the real parts beside our own processes")
    group.addoption(
        "--broker", default="embedded", help="embedded (default), kafka, or HOST:PORT of a broker"
    )
    group.addoption(
        "--dynamodb", default="moto", help="moto (default), local (DynamoDB Local), or a URL"
    )
    group.addoption("--s3", default="moto", help="moto (default), seaweedfs, or a URL")
    group.addoption(
        "--base-image", help="what container images are built on; by default made with debootstrap"
    )
    group.addoption(
        "--pull-third-parties",
        action="store_true",
        help="run the compose file with the images it names, Redpanda's too, instead of stand-ins",
    )


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Run the whole default lane in a few processes; most of its tests wait for other processes.

    What is named alone, or measured, keeps the machine and the terminal to itself.
    """
    option = config.option
    if "PYTEST_XDIST_WORKER" in os.environ:
        return  # one of those processes, or a child of one: it would start as many again
    whole = config.args_source is pytest.Config.ArgsSource.TESTPATHS
    if whole and option.markexpr == _DEFAULT_LANE and getattr(option, "numprocesses", 0) is None:
        option.numprocesses, option.dist = _PROCESSES, "loadfile"
        option.loadscopereorder = False  # by length, see `_long_first`, not by number of tests


def pytest_configure(config: pytest.Config) -> None:
    _check(config, "--broker", {"embedded", "kafka"}, marker=":")
    _check(config, "--dynamodb", {"moto", "local"}, marker="://")
    _check(config, "--s3", {"moto", "seaweedfs"}, marker="://")


def _check(config: pytest.Config, option: str, known: set[str], marker: str) -> None:
    value = config.getoption(option)
    if value not in known and marker not in value:
        names = ", ".join(sorted(known))
        raise pytest.UsageError(f"{option} {value}: neither one of {names} nor an address")


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> Generator[None]:
    has = brokers.capabilities(config.getoption("--broker"))
    has |= dynamodb_parts.capabilities(config.getoption("--dynamodb"))
    left_out: dict[str, list[str]] = {}
    kept: list[pytest.Item] = []
    deselected: list[pytest.Item] = []
    for item in items:
        missing = _needs(item) - has
        (deselected if missing else kept).append(item)
        if missing:
            left_out.setdefault(", ".join(sorted(missing)), []).append(item.nodeid)
    if deselected:
        config.hook.pytest_deselected(items=deselected)
        items[:] = kept
    config.stash[_left_out] = left_out
    result = yield
    items.sort(key=_long_first)
    return result


def _long_first(item: pytest.Item) -> int:
    """What starts processes is begun first: a run ends when its longest file does."""
    path = item.nodeid.partition("::")[0]
    return next((rank for rank, word in enumerate(_LONG) if word in path), len(_LONG))


def _needs(item: pytest.Item) -> frozenset[str]:
    needs = frozenset(need for mark in item.iter_markers("needs") for need in mark.args)
    unknown = needs - brokers.CAPABILITIES - dynamodb_parts.CAPABILITIES
    if unknown:
        raise pytest.UsageError(f"{item.nodeid} needs {sorted(unknown)}: no such capability")
    return needs


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    left_out = config.stash.get(_left_out, {})
    if left_out:
        broker, dynamodb = config.getoption("--broker"), config.getoption("--dynamodb")
        terminalreporter.section(f"left out: broker {broker} or DynamoDB {dynamodb} cannot do it")
        for missing, tests in sorted(left_out.items()):
            terminalreporter.write_line(f"needs {missing}:")
            for test in tests:
                terminalreporter.write_line(f"  {test}")


@pytest.fixture(scope="session")
def broker(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[brokers.Broker]:
    """The broker of `--broker`, shared by all tests. Who stops it starts it again."""
    choice = request.config.getoption("--broker")
    part = brokers.broker(choice, tmp_path_factory.mktemp("broker"))
    part.start()
    yield part
    if choice not in ("embedded", "kafka"):
        brokers.delete_topics(part.bootstrap, prefix=f"test-{_TOKEN}-")
    part.kill()


@pytest.fixture
def own_broker(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[brokers.Broker]:
    """A broker for one test alone, to be killed, restarted or wiped; mark it `needs("restart")`."""
    part = brokers.broker(request.config.getoption("--broker"), tmp_path_factory.mktemp("broker"))
    part.start()
    yield part
    part.kill()


@pytest.fixture
def namespace(request: pytest.FixtureRequest) -> str:
    """A prefix no other test uses, for topics, groups, tables and transactional ids."""
    return f"test-{_TOKEN}-{uuid.uuid4().hex[:8]}"


@pytest.fixture(scope="session")
def dynamodb(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dynamodb_parts.DynamoDB]:
    """The endpoint of `--dynamodb`, shared by all tests: name tables after the namespace."""
    choice = request.config.getoption("--dynamodb")
    part = dynamodb_parts.dynamodb(choice, tmp_path_factory.mktemp("dynamodb"))
    part.start()
    yield part
    part.stop()


@pytest.fixture(scope="session")
def s3(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[object_store.S3]:
    """The bucket of `--s3`, shared by all tests: put tables under the namespace."""
    choice = request.config.getoption("--s3")
    part = object_store.s3(choice, tmp_path_factory.mktemp("s3"))
    part.start()
    yield part
    part.stop()


@pytest.fixture
def kafka(broker: brokers.Broker, namespace: str) -> KafkaConfig:
    """How a stage of this test speaks to the broker."""
    return KafkaConfig(
        brokers=broker.bootstrap,
        namespace=namespace,
        static_membership=brokers.EXPIRY not in broker.capabilities,
    )
