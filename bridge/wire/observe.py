"""What every stage shows to the outside: `/metrics` for Prometheus, `/healthz` and `/status`.

A stage that makes no progress it should make says so: `/healthz` answers 503 with the reason.
`/status` is a JSON array of what the stage says of each thing it works on, empty where it says
nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import orjson
from prometheus_client import REGISTRY, CollectorRegistry, make_wsgi_app
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from bridge.wire.errors import ConfigurationError

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse

StatusReport = Callable[[], Sequence[Any]]
"""Dataclasses, one for each table or dataset."""
HealthCheck = Callable[[], str | None]
"""None when healthy, else one line that says what is wrong."""


_CLIENT_TIMEOUT_S = 10.0


class _Server(ThreadingMixIn, WSGIServer):
    """Who connects and says nothing keeps nobody else waiting."""

    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    timeout = _CLIENT_TIMEOUT_S

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base's name)
        """Scrapes are not worth a log line."""


class _Health(Collector):
    """Health as a metric, asked at every scrape."""

    def __init__(self, stage: str, check: HealthCheck) -> None:
        self._stage = stage
        self._check = check

    def collect(self) -> Iterable[GaugeMetricFamily]:
        family = GaugeMetricFamily(
            "tailrace_stage_healthy", "1 while /healthz says 200, else 0", labels=["stage"]
        )
        family.add_metric([self._stage], 0.0 if self._check() else 1.0)
        return [family]

    def describe(self) -> Iterable[GaugeMetricFamily]:
        return []  # registering asks nothing of the stage


class Observatory:
    """Serves metrics and health of one stage on loopback or wherever told."""

    def __init__(
        self,
        *,
        host: str,
        port: int,
        health: HealthCheck,
        status: StatusReport = tuple,
        stage: str = "",
        registry: CollectorRegistry = REGISTRY,
    ) -> None:
        metrics = make_wsgi_app(registry)

        def app(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
            if environ.get("PATH_INFO") == "/healthz":
                problem = health()
                start_response(
                    "503 Service Unavailable" if problem else "200 OK",
                    [("Content-Type", "text/plain; charset=utf-8")],
                )
                return [(problem or "ok").encode() + b"\n"]
            if environ.get("PATH_INFO") == "/status":
                start_response("200 OK", [("Content-Type", "application/json")])
                return [orjson.dumps(list(status())) + b"\n"]
            page: Iterable[bytes] = metrics(environ, start_response)
            return page

        try:
            self._server: WSGIServer = make_server(
                host, port, app, server_class=_Server, handler_class=_Quiet
            )
        except OSError as error:
            raise ConfigurationError(
                f"can't listen: {error.strerror}",
                where=f"metrics port {host}:{port}",
                remedy="Set TAILRACE_METRICS_PORT to a free port, or to 0 to turn it off",
            ) from None
        self._registry = registry
        self._health = _Health(stage, health)
        registry.register(self._health)
        self._thread = threading.Thread(
            target=self._server.serve_forever, name="observatory", daemon=True
        )

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self._server.server_port)

    def start(self) -> None:
        """Serve in the background."""
        self._thread.start()

    def close(self) -> None:
        """Stop serving."""
        self._registry.unregister(self._health)
        self._server.shutdown()
        self._server.server_close()
