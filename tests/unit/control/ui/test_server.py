"""The page's server over real sockets: who is answered, with what, and what the browser is told."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import re
import socket
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path

import pytest

from bridge.control.status.assess import assess
from bridge.control.ui.board import Board
from bridge.control.ui.flows import Flow
from bridge.control.ui.guard import HEADERS
from bridge.control.ui.server import STATIC, PageServer
from bridge.wire.errors import ConfigurationError
from tests.unit.control.status.facts import NOW_S, well


@pytest.fixture(scope="module")
def board() -> Board:
    board = Board("Kafka", lambda text: text.replace("hunter22", "***"))
    board.observe(assess(well()), {"out": Flow(tables={"orders": 5.0}, rows=4.0, merged=3.0)})
    return board


@pytest.fixture(scope="module")
def page(board: Board) -> Iterator[PageServer]:
    with PageServer(board, port=0, names=["watch.example"]) as server:
        yield server


def ask(
    page: PageServer, path: str, *, method: str = "GET", host: str | None = None
) -> tuple[HTTPResponse, bytes]:
    connection = HTTPConnection("127.0.0.1", page.port, timeout=10)
    connection.putrequest(method, path, skip_host=True)
    if host != "":
        connection.putheader("Host", host or f"127.0.0.1:{page.port}")
    connection.endheaders()
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer, body


def test_the_state_is_one_json_object(page: PageServer) -> None:
    answer, body = ask(page, "/api/state")
    state = json.loads(body)

    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    assert state["status"]["state"] == "running"
    assert state["flows"]["out"]["merged"] == 3.0
    assert state["selected"]["dataset"] == "out"
    assert state["selected"]["series"]["changes"] == [5.0]
    assert state["alarms"] == []
    assert state["problem"] is None


def test_points_are_sent_once(page: PageServer) -> None:
    _, body = ask(page, f"/api/state?dataset=out&since={NOW_S}")
    assert json.loads(body)["selected"]["series"]["at"] == []


@pytest.mark.parametrize("since", ["x", "nan", "inf", "1e999", ""])
def test_a_moment_that_is_none_is_refused(page: PageServer, since: str) -> None:
    answer, _ = ask(page, f"/api/state?since={since}")
    assert answer.status == 400


def test_an_unknown_dataset_is_the_first_one(page: PageServer) -> None:
    _, body = ask(page, "/api/state?dataset=%3Cscript%3E")
    assert json.loads(body)["selected"]["dataset"] == "out"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
@pytest.mark.parametrize("path", ["/", "/api/state", "/static/app.js", "/nowhere"])
def test_it_only_reads(page: PageServer, method: str, path: str) -> None:
    answer, _ = ask(page, path, method=method)
    assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.0.0.1:8717", "localhost", "LocalHost:1", "[::1]:80", "watch.example"]
)
def test_names_of_ours_are_answered(page: PageServer, host: str) -> None:
    answer, _ = ask(page, "/api/state", host=host)
    assert answer.status == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "evil.example:8717", "",
     "localhost@evil.example", "watch.example.evil", "[::1].evil.example", "2130706433"],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/", "/api/state", "/static/app.js"])
def test_a_name_that_somebody_points_here_is_refused(
    page: PageServer, host: str, path: str
) -> None:
    answer, body = ask(page, path, host=host)
    assert answer.status in (400, 421)
    assert b"orders" not in body


@pytest.mark.parametrize(
    ("path", "status"),
    [("/", 200), ("/api/state", 200), ("/static/app.js", 200), ("/nowhere", 404),
     ("/api/state?since=x", 400)],
)  # fmt: skip
def test_every_answer_tells_the_browser_to_run_nothing_but_ours(
    page: PageServer, path: str, status: int
) -> None:
    answer, _ = ask(page, path)
    assert answer.status == status
    for name, value in HEADERS:
        assert answer.headers.get_all(name) == [value]
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert "access-control-allow-origin" not in answer.headers
    assert "server" not in answer.headers


@pytest.mark.parametrize(
    "path", ["/static/../server.py", "/static/%2e%2e/server.py", "/static//etc/passwd", "/static/"]
)
def test_only_our_own_files_are_served(page: PageServer, path: str) -> None:
    answer, _ = ask(page, path)
    assert answer.status == 404


def test_a_busy_port_is_one_line_or_another_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError, match="can't listen"):
            PageServer(Board(""), port=port)
        with PageServer(Board(""), port=port, fallback=True) as page:
            assert page.port != port
            assert ask(page, "/healthz")[1] == b"ok\n"


def test_before_the_first_look_it_says_what_it_waits_for() -> None:
    with PageServer(Board("the parts to start"), port=0) as page:
        state = json.loads(ask(page, "/api/state")[1])
    assert (state["status"], state["waiting"]) == (None, "the parts to start")


def test_a_first_look_that_hangs_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    board = Board("the parts to start")
    monkeypatch.setattr("bridge.control.ui.board.STALE_S", -1.0)
    monkeypatch.setattr("bridge.control.ui.board.time.monotonic", iter(range(100)).__next__)
    board.begin()

    state = board.state(None, 0)

    assert state["problem"].startswith("Kafka or the lake has not answered for")
    assert state["waiting"] == "the first look at the pipeline"


def test_what_failed_is_told_without_secrets_and_the_last_state_stays(board: Board) -> None:
    other = Board("Kafka", lambda text: text.replace("hunter22", "***"))
    other.observe(assess(well()), {})
    other.fail("broker at user:hunter22@kafka: did not answer")

    state = other.state(None, 0)

    assert state["problem"] == "broker at user:***@kafka: did not answer"
    assert state["status"]["state"] == "running"
    assert state["selected"]["series"]["lag"][-1] is None


def test_the_page_has_no_script_and_no_style_of_its_own_and_all_it_names_is_there() -> None:
    text = (STATIC / "index.html").read_text(encoding="utf-8")
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]* src=)", text)
    named = re.findall(r'(?:src|href)="/static/([^"]+)"', text)
    for module in STATIC.glob("*.js"):
        found = re.findall(r'from "\./([^"]+)"', module.read_text(encoding="utf-8"))
        named += found
    assert len(named) > 8
    assert not [name for name in named if not (STATIC / name).is_file()]


def test_no_module_of_ours_parses_a_string_as_html_or_code() -> None:
    sinks = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function|setHTML"
    for module in STATIC.glob("*.js"):
        assert not re.search(sinks, module.read_text(encoding="utf-8")), module.name


def test_the_vendored_chart_library_comes_with_its_licence() -> None:
    vendor = STATIC / "vendor" / "uplot"
    assert "MIT License" in (vendor / "LICENSE").read_text(encoding="utf-8")
    assert "v1.6.32" in (vendor / "uPlot.esm.js").read_text(encoding="utf-8")[:400]


def test_the_files_are_part_of_the_package() -> None:
    pyproject = (Path(__file__).parents[4] / "pyproject.toml").read_text(encoding="utf-8")
    assert '"bridge.control.ui" = ["static/**/*"]' in pyproject


@pytest.mark.parametrize("turns", range(5))
def test_a_connection_that_comes_while_the_page_ends_is_closed(turns):
    """Of a browser that connects ahead and asks nothing; left open, it would warn."""
    server = PageServer(Board("nothing"), port=0)
    shut_down, port, clients = server._server.shutdown, server.port, []

    async def meanwhile(sockets=None):
        clients.append(socket.create_connection(("127.0.0.1", port)))
        for _ in range(turns):
            await asyncio.sleep(0)
        await shut_down(sockets)

    server._server.shutdown = meanwhile
    with server:
        pass
    gc.collect()
    (client,) = clients
    client.settimeout(10)
    with client, contextlib.suppress(ConnectionResetError):
        assert client.recv(1) == b""
