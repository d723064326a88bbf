"""Keeps the page to those it is for: reading only, from this page only, under a name of ours.

A page on loopback is in reach of every web site its reader visits. A site can point a name of its
own at 127.0.0.1 (DNS rebinding) and would then be of the same origin: so a request must name an IP
address, `localhost`, or a name that was allowed. What is shown comes from items and names that
anybody may have written, so the browser is told to run nothing but our own files.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_HOST = re.compile(r"(?:\[([0-9a-f:.]+)\]|([^\s:@/\[\]]+))(?::[0-9]*)?")
_DIRECTIVES = (
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self'",
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
)
HEADERS = (
    ("content-security-policy", "; ".join(_DIRECTIVES)),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("permissions-policy", "camera=(), geolocation=(), microphone=()"),
    ("cache-control", "no-store"),
)


class Guard:
    """ASGI middleware around the whole application.

    Args:
        app: what is guarded.
        names: host names it may be asked by, beside `localhost` and IP addresses.
    """

    def __init__(self, app: ASGIApp, names: Iterable[str] = ()) -> None:
        self._app = app
        self._names = frozenset(name.lower().rstrip(".") for name in ("localhost", *names))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or refuse."""
        if scope["type"] != "http":
            return
        refusal = self._refusal(scope)

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                ours = {name.encode() for name, _ in HEADERS}
                kept = [pair for pair in message.get("headers", []) if pair[0].lower() not in ours]
                added = [(name.encode(), value.encode()) for name, value in HEADERS]
                message = {**message, "headers": [*kept, *added]}
            await send(message)

        if refusal is None:
            await self._app(scope, receive, guarded)
            return
        status, text = refusal
        headers = [(b"content-type", b"text/plain; charset=utf-8")]
        headers += [(b"allow", b"GET, HEAD")] if status == 405 else []
        await guarded({"type": "http.response.start", "status": status, "headers": headers})
        await guarded({"type": "http.response.body", "body": text.encode() + b"\n"})

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        hosts = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
        if len(hosts) != 1 or not self.allows(hosts[0]):
            return 421, "This page answers to IP addresses, localhost and the names of --allow-host"
        if scope["method"] not in ("GET", "HEAD"):
            return 405, "This page only reads"
        return None

    def allows(self, host: str) -> bool:
        """Whether a request may name this host, `name[:port]`."""
        match = _HOST.fullmatch(host.strip().lower())
        if match is None:
            return False
        name = match[1] or match[2]
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return name.rstrip(".") in self._names
        return True
