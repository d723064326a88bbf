"""The page in a real Chromium, on states made here: hostile names, narrow, dark, servers gone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bridge.control.status.assess import assess
from bridge.control.status.facts import LakeTable, Letters
from bridge.control.status.model import Status, Verdict
from bridge.control.ui.board import Board
from bridge.control.ui.details import Details
from bridge.control.ui.flows import Flow
from bridge.control.ui.server import PageServer
from tests.parts.browser import POOR_CONTRAST, Watched, browser
from tests.parts.ports import free_port
from tests.parts.waiting import wait_until
from tests.unit.control.status.facts import NOW_S, ROUTE, well

pytestmark = [pytest.mark.integration, pytest.mark.real, pytest.mark.timeout(120)]

SOON_MS = 15_000
HOSTILE = "<script>window.owned=1</script><img src=x onerror=window.owned=2>"


@pytest.fixture(scope="module")
def chrome() -> Iterator[Any]:
    with browser() as found:
        yield found


@pytest.fixture
def board(monkeypatch: pytest.MonkeyPatch) -> Board:
    # Nobody looks at a pipeline here: what is on the board stays as it is.
    monkeypatch.setattr("bridge.control.ui.board.STALE_S", 1e9)
    board = Board("Kafka")
    show(board, status())
    board.details = lambda _dataset: DETAILS
    return board


@pytest.fixture
def served(board: Board) -> Iterator[PageServer]:
    with PageServer(board, port=0) as server:
        yield server


def status(state: str = "running", reason: str = "") -> Status:
    found = assess(well(letters={"fold": Letters(3)} if state == "dead" else {}))
    if state in ("running", "dead"):
        return found
    verdict = Verdict(state, reason, "tailrace resume dataset:out")  # type: ignore[arg-type]
    return replace(found, datasets=(replace(found.datasets[0], verdict=verdict),))


def show(board: Board, found: Status) -> None:
    flow = Flow(tables={"orders": 98.0}, reads={"orders": 97.0}, rows=96.0, merged=95.0)
    for at in range(60):
        board.observe(replace(found, at_s=NOW_S - 120 + 2 * at), {"out": flow})


def commit(version: int) -> dict[str, Any]:
    counts = {"inserted": 12, "updated": 34, "deleted": 5, "rows": 51}
    files = {"files_added": 1, "files_removed": 1, "columns": None}
    return {"version": version, "at_s": NOW_S - 1, "operation": "MERGE", **counts, **files}


DETAILS = Details(
    commits=[commit(7)],
    schema=[
        {
            "at": "2026-11-26T06:40:00+00:00",
            "where": "rows",
            "name": "3f2a77b01c22",
            "added": {"coupon_code": "string"},
            "removed": {"old": "long"},
            "changed": {"price": ["long", "double"]},
        }
    ],
    letters=[
        {
            "owner": "fold",
            "stage": "processor",
            "topic": "ns.changes.orders",
            "error": "ValueError",
            "reason": "total does not fit",
            "open": 3,
            "replayed": 1,
            "dropped": 0,
            "last": "2026-11-26T06:41:00+00:00",
            "command": "tailrace dlq show fold 2:118",
        }
    ],
)


def open_page(chrome: Any, served: PageServer, **options: Any) -> Watched:
    found = Watched(chrome, **options)
    found.page.goto(served.url)
    found.page.wait_for_selector(".node")
    found.page.wait_for_selector("#commits td")
    return found


def await_title(page: Any, start: str) -> None:
    # Playwright's own waiting evaluates text, which the page's policy forbids.
    wait_until(
        lambda: page.title().startswith(start), timeout_s=SOON_MS / 1000, what=f"title {start!r}"
    )


def test_it_shows_the_pipeline_and_what_came_of_it(chrome: Any, served: PageServer) -> None:
    found = open_page(chrome, served)

    nodes = found.page.locator(".node-name").all_inner_texts()
    assert nodes == ["orders", "changes.orders", "@fold", "rows.out", "out"]
    rates = found.page.locator(".arrow .rate").all_text_contents()
    assert rates == ["98/s", "97/s", "96/s", "95/s"]
    assert "+12" in found.text("#commits")
    assert "~34" in found.text("#commits")
    assert "\N{MINUS SIGN}5" in found.text("#commits")
    assert "+ coupon_code string" in " ".join(found.text("#schema").split())
    assert "3 open" in found.text("#letters")
    assert found.page.locator("#charts canvas").count() == 3
    assert "changes 98/s" in str(
        found.page.locator("[data-chart=throughput] .plot").get_attribute("aria-label")
    )
    assert found.page.title() == "✓ running · tailrace"
    assert found.complaints == []


@pytest.mark.parametrize(
    ("state", "mark", "icon"),
    [("running", "✓", "ok"), ("dead", "!", "warn"), ("paused", "!", "warn"),
     ("stopped", "✕", "bad"), ("GAP", "✕", "bad")],
)  # fmt: skip
def test_title_and_favicon_tell_the_state(
    chrome: Any, board: Board, served: PageServer, state: str, mark: str, icon: str
) -> None:
    show(board, status(state, "because"))
    found = open_page(chrome, served)

    assert found.page.title().startswith(mark)
    assert found.page.get_attribute("#icon", "href") == f"/static/icons/{icon}.svg"
    if state != "running":
        assert found.page.locator(".alarm code").first.inner_text().startswith("tailrace ")


def hostile(board: Board) -> None:
    route = replace(ROUTE, dataset=HOSTILE, transform=HOSTILE, file=HOSTILE)
    facts = well(routes=(route,), lake={HOSTILE: LakeTable(3, NOW_S, False)})
    found = assess(facts)
    verdict = Verdict("stalled", HOSTILE, HOSTILE)
    tables = tuple(replace(t, table=HOSTILE, verdict=verdict) for t in found.tables)
    datasets = tuple(replace(d, tables=(HOSTILE,), verdict=verdict) for d in found.datasets)
    workers = tuple(replace(w, name=HOSTILE, host=HOSTILE) for w in found.workers)
    board.observe(
        replace(found, namespace=HOSTILE, tables=tables, datasets=datasets, workers=workers),
        {HOSTILE: Flow(tables={HOSTILE: 1.0})},
    )
    entry = {"at": HOSTILE, "where": HOSTILE, "name": HOSTILE, "removed": {}}
    entry |= {"added": {HOSTILE: HOSTILE}, "changed": {HOSTILE: [HOSTILE, HOSTILE]}}
    letter = dict.fromkeys(("owner", "stage", "topic", "error", "reason", "last"), HOSTILE)
    letters = {**letter, "open": 1, "replayed": 0, "dropped": 0, "command": HOSTILE}
    details = Details(
        commits=[{**commit(1), "operation": HOSTILE}],
        schema=[entry],
        letters=[letters],
        problem=HOSTILE,
    )
    board.details = lambda _dataset: details
    event = {"at_s": 1.0, "text": HOSTILE, "tone": "bad"}
    stage = {"name": HOSTILE, "kind": HOSTILE, "pid": None, "restarts": 1, "trouble": HOSTILE}
    run = {"steps": [{"title": HOSTILE, "state": "now"}], "events": [event], "stages": [stage]}
    board.run = lambda: {**run, "verdict": HOSTILE, "clean": False, "ended": False}
    board.fail(HOSTILE)


def test_a_hostile_name_is_text_wherever_it_stands(
    chrome: Any, board: Board, served: PageServer
) -> None:
    hostile(board)
    found = open_page(chrome, served)
    page = found.page

    for place in ("#namespace", "#overall", "#banner", "#run", "#attention", "#graph", "#detail",
                  "#tiles", "#commits", "#schema", "#letters", "#shards", "#workers",
                  "#events"):  # fmt: skip
        text = page.locator(place).inner_text().replace("\n", "")
        assert "<script>" in text.lower() or place == "#overall", place
    assert page.locator("img, iframe, object, form").count() == 0
    assert page.locator("script").count() == 1
    assert page.evaluate("window.owned") is None
    assert found.complaints == []


def test_the_browser_itself_refuses_a_script_in_the_page(chrome: Any, served: PageServer) -> None:
    page = open_page(chrome, served).page
    page.evaluate(
        """() => {
            for (const act of [
                () => { document.body.innerHTML += "<img src=x onerror='window.owned=1'>"; },
                () => { const e = document.createElement("script");
                        e.textContent = "window.owned=1"; document.body.append(e); },
                () => { document.body.setAttribute("onclick", "window.owned=1");
                        document.body.click(); },
                () => { const e = document.createElement("iframe"); e.src = "/";
                        document.body.append(e); },
            ]) { try { act(); } catch { } }
        }"""
    )
    assert page.evaluate("window.owned") is None
    assert page.evaluate(
        "[...document.querySelectorAll('iframe')].every(f => !f.contentDocument?.title)"
    )
    assert page.evaluate("fetch('https://example.com/').then(() => 'sent', () => 'refused')") == (
        "refused"
    )


def test_a_server_that_goes_is_missed_and_found_again(chrome: Any, board: Board) -> None:
    port = free_port()
    with PageServer(board, port=port) as server:
        found = open_page(chrome, server)
    page = found.page

    page.wait_for_selector("text=has not answered for", timeout=SOON_MS)
    assert page.title() == "… no answer · tailrace"
    assert page.evaluate("document.body.classList.contains('stale')")
    assert page.locator(".node").count() == 5

    with PageServer(board, port=port):
        page.wait_for_selector("text=has not answered for", state="detached", timeout=SOON_MS)
        await_title(page, "✓")


def test_another_server_at_the_address_starts_the_charts_anew(chrome: Any, board: Board) -> None:
    port = free_port()
    with PageServer(board, port=port) as server:
        found = open_page(chrome, server)
    other = Board("Kafka")
    show(other, status("stopped", "gone"))
    with PageServer(other, port=port):
        await_title(found.page, "✕")
    assert found.complaints == []


def test_a_state_nobody_knows_is_never_called_well(
    chrome: Any, board: Board, served: PageServer
) -> None:
    found = open_page(chrome, served)
    board.fail("Kafka at b:9092: did not answer within 10 s")

    found.page.wait_for_selector("text=did not answer within 10 s", timeout=SOON_MS)
    assert found.page.title() == "✕ not known · tailrace"

    show(board, status())
    await_title(found.page, "✓")
    assert found.text("#banner") == ""


def test_a_look_that_hangs_is_told(
    chrome: Any, served: PageServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = open_page(chrome, served)
    monkeypatch.setattr("bridge.control.ui.board.STALE_S", 0.0)

    found.page.wait_for_selector("text=Kafka or the lake has not answered", timeout=SOON_MS)
    assert found.page.title() == "✕ not known · tailrace"


def test_a_stage_that_dies_shows_and_its_return_too(
    chrome: Any, board: Board, served: PageServer
) -> None:
    found = open_page(chrome, served)
    show(board, status("stopped", "the sink (h pid 4) has not been heard of for 21 s"))

    found.page.wait_for_selector("#attention >> text=has not been heard of", timeout=SOON_MS)
    assert found.page.locator("[data-node='dataset:out'].bad").count() == 1
    show(board, status())
    found.page.wait_for_selector("#attention", state="hidden", timeout=SOON_MS)


def test_a_run_that_has_ended_is_no_outage(chrome: Any, board: Board) -> None:
    end = {"verdict": "verified: 9 items", "clean": True, "ended": True}
    with PageServer(board, port=0) as server:
        found = open_page(chrome, server)
        board.run = lambda: {"steps": [], "events": [], "stages": [], **end}
        found.page.wait_for_selector("#overall >> text=verified: 9 items", timeout=SOON_MS)
    with found.page.expect_event("requestfailed", timeout=SOON_MS):
        pass
    await_title(found.page, "✓ verified")
    assert found.text("#banner") == ""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1360, 390])
@pytest.mark.parametrize("state", ["running", "stopped"])
def test_it_can_be_read_in_light_and_dark_and_on_narrow_screens(
    chrome: Any,
    board: Board,
    served: PageServer,
    tmp_path: Path,
    width: int,
    scheme: str,
    state: str,
) -> None:
    show(board, status(state, "the sink (h pid 4) has not been heard of for 21 s"))
    found = open_page(chrome, served, width=width, scheme=scheme)
    page = found.page

    assert page.evaluate("document.scrollingElement.scrollWidth") <= width
    assert page.evaluate(POOR_CONTRAST) == []
    tops = [node.bounding_box()["y"] for node in page.locator(".node").all()]
    assert (tops == sorted(set(tops))) == (width == 390)  # below one another, or side by side
    page.screenshot(path=tmp_path / f"page-{state}-{width}-{scheme}.png", full_page=True)
    page.context.close()


def test_it_works_from_the_keyboard(chrome: Any, board: Board, served: PageServer) -> None:
    routes = (ROUTE, replace(ROUTE, dataset="second"))
    lake = {name: LakeTable(3, NOW_S, False) for name in ("out", "second")}
    board.observe(assess(well(routes=routes, lake=lake)), {})
    page = open_page(chrome, served).page

    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the pipeline"
    for _ in range(40):
        page.keyboard.press("Tab")
        if (
            page.evaluate(
                "document.activeElement.closest('#datasets') && document.activeElement.textContent"
            )
            == "second"
        ):
            break
    page.keyboard.press("Enter")
    page.wait_for_selector("#detail-title >> text=second")
    # The page is drawn again every other second: what has the focus keeps it.
    with page.expect_response("**/api/state*"):
        pass
    assert page.evaluate("document.activeElement.textContent") == "second"


def test_a_command_can_be_copied(chrome: Any, board: Board, served: PageServer) -> None:
    show(board, status("paused"))
    found = open_page(chrome, served)
    found.context.grant_permissions(["clipboard-read", "clipboard-write"])

    found.page.click(".alarm button")

    copied = found.page.evaluate("navigator.clipboard.readText()")
    assert copied == "tailrace resume dataset:out"
