"""`tailrace ui FILE…`: serves the page for the pipeline of these files, until interrupted."""

from __future__ import annotations

import contextlib
import ipaddress
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

from bridge.control.logs import Redactor
from bridge.control.show import write_line
from bridge.control.ui.board import Board
from bridge.control.ui.sampling import Sampler
from bridge.control.ui.server import PageServer

if TYPE_CHECKING:
    from bridge.control.settings import Settings


def run_ui(
    settings: Settings, targets: Sequence[str], *, host: str, port: int, names: Sequence[str]
) -> None:
    """Serve until interrupted.

    Raises:
        ConfigurationError: a file can't be loaded, no broker is set, the port is busy, or a package
            is missing.
    """
    from bridge.control.cli import Interrupted
    from bridge.control.plan import load_plan

    for target in targets:
        load_plan(target)  # what is wrong with it, before anything starts
    board = Board("Kafka", Redactor(settings.secrets).clean)
    sampler = Sampler(board, settings, targets)
    with PageServer(board, host=host, port=port, names=names) as page:
        sampler.start()
        write_line(f"page at {page.url}")
        if not _loopback(host):
            write_line(f"whoever reaches {host}:{page.port} can read it: there is no password")
        with contextlib.suppress(Interrupted):
            threading.Event().wait()
        sampler.close()


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"
