"""Serves the page: three kinds of answers, all of them for GET, from memory or from our own files.

Runs in a thread, beside whatever the command does; nothing a request asks makes it wait for Kafka
or the lake.
"""

from __future__ import annotations

import asyncio
import logging
import math
import socket
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from bridge.control.stages import needing
from bridge.control.ui import DEFAULT_PORT, LOOPBACK
from bridge.control.ui.guard import Guard
from bridge.wire.errors import ConfigurationError, TailraceError

if TYPE_CHECKING:
    import uvicorn
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp

    from bridge.control.ui.board import Board

logger = logging.getLogger(__name__)

STATIC = Path(__file__).with_name("static")
_START_S = 10.0
_LATE_S = 0.02
_NAME_MAX = 300


def application(board: Board, names: Iterable[str] = ()) -> ASGIApp:
    """The page over a board.

    Raises:
        ConfigurationError: the extra `ui` is not installed.
    """
    with needing("ui"):
        from starlette.applications import Starlette
        from starlette.responses import FileResponse, PlainTextResponse
        from starlette.routing import Mount, Route
        from starlette.staticfiles import StaticFiles

    async def page(_request: Request) -> Response:
        return FileResponse(STATIC / "index.html")

    async def alive(_request: Request) -> Response:
        return PlainTextResponse("ok\n")

    app = Starlette(
        routes=[
            Route("/", page),
            Route("/api/state", _state(board)),
            Route("/healthz", alive),
            Mount("/static", StaticFiles(directory=STATIC)),
        ]
    )
    return Guard(app, names)


def _state(board: Board) -> Callable[[Request], Response]:
    import orjson
    from starlette.responses import Response

    def state(request: Request) -> Response:
        dataset = request.query_params.get("dataset", "")[:_NAME_MAX]
        try:
            since_s = float(request.query_params.get("since", "0"))
        except ValueError:
            since_s = math.nan
        if not math.isfinite(since_s):
            return Response("since is not a number of seconds\n", 400, media_type="text/plain")
        body = orjson.dumps(board.state(dataset or None, since_s), option=orjson.OPT_NON_STR_KEYS)
        return Response(body, media_type="application/json")

    return state


class PageServer:
    """The page on a port of its own; for a `with`.

    Args:
        board: what it shows.
        host: address to listen on.
        port: 0 takes a free one.
        fallback: take a free port where that one is busy.
        names: host names it may be asked by.

    Raises:
        ConfigurationError: the port is busy, or a package is missing.
    """

    def __init__(
        self,
        board: Board,
        *,
        host: str = LOOPBACK,
        port: int = DEFAULT_PORT,
        fallback: bool = False,
        names: Iterable[str] = (),
    ) -> None:
        with needing("ui"):
            import uvicorn
        app = application(board, [*names, host])
        self._socket = _listen(host, port, fallback=fallback)
        self._host = host
        config = uvicorn.Config(
            app,
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            lifespan="off",
            ws="none",
            http="h11",
            loop="asyncio",
            timeout_graceful_shutdown=1,
            limit_concurrency=200,
        )
        self._server = _server(config)
        self._thread = threading.Thread(target=self._run, name="page", daemon=True)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._socket.getsockname()[1])

    @property
    def url(self) -> str:
        """What a person opens."""
        host = self._host if self._host not in ("0.0.0.0", "::", "") else "localhost"
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}/"

    def __enter__(self) -> PageServer:
        self._thread.start()
        deadline_s = time.monotonic() + _START_S
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > deadline_s:
                raise TailraceError("it did not start", where=f"page at {self.url}")
            time.sleep(0.005)
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join(5)
        self._socket.close()

    def _run(self) -> None:
        try:
            self._server.run(sockets=[self._socket])
        except Exception as error:  # the pipeline goes on without its page
            logger.warning("page", extra={"cause": str(error)})


def _server(config: uvicorn.Config) -> uvicorn.Server:
    import uvicorn

    class Server(uvicorn.Server):
        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            """Take in nobody more, wait for who just came in, and only then close.

            asyncio loses a connection whose server is closed between its two steps.
            """
            loop = asyncio.get_running_loop()
            for server in self.servers:
                for listening in server.sockets:
                    loop.remove_reader(listening)
            await asyncio.sleep(_LATE_S)
            await super().shutdown(sockets)

    return Server(config)


def _listen(host: str, port: int, *, fallback: bool) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    found = socket.socket(family, socket.SOCK_STREAM)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        try:
            found.bind((host, port))
        except OSError:
            if not fallback:
                raise
            found.bind((host, 0))
        found.listen(128)
    except (OSError, OverflowError) as error:
        found.close()
        text = getattr(error, "strerror", None) or str(error)
        raise ConfigurationError(
            f"can't listen: {text}",
            where=f"page at {host}:{port}",
            remedy="Name another with --host and --port",
        ) from None
    return found
