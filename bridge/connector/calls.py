"""The raw calls: GetRecords, GetShardIterator and Scan over kept-alive connections.

boto3 spends 150 ms of CPU on an answer of a thousand records, nearly all of it on parsing what
nobody here reads. These calls return the body's bytes. They are pinned to boto3 by a test that
makes both ask the same. A connection belongs to one thread; an answer that is cut short, or whose
checksum is wrong, counts as no answer.
"""

from __future__ import annotations

import base64
import http.client
import logging
import ssl
import threading
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

import orjson

from bridge.connector.exchange import Answer, AnswerError, Exchange
from bridge.connector.failures import Failure, Trouble, classify
from bridge.connector.signing import Keys, Signer

logger = logging.getLogger(__name__)

CONNECT_TIMEOUT_S = 5.0
READ_TIMEOUT_S = 30.0
_CONTENT_TYPE = "application/x-amz-json-1.0"
_SKEW_MIN_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One service's address: `target` is the prefix of X-Amz-Target, `proxy` a proxy's URL."""

    url: str
    region: str
    target: str
    proxy: str | None = None
    tls: ssl.SSLContext | None = None


class RawClient:
    """Signed JSON calls to one endpoint, from any thread.

    Args:
        endpoint: where.
        credentials: gives the credentials of this moment.
        now: the wall clock, seconds since 1970.
        refused: told when AWS refused the credentials, so that they can be fetched anew.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        credentials: Callable[[], Keys],
        *,
        now: Callable[[], float] = time.time,
        refused: Callable[[], None] = lambda: None,
    ) -> None:
        parts = urlsplit(endpoint.url)
        self._endpoint = endpoint
        self._tls = parts.scheme == "https"
        self._address = (parts.hostname or "", parts.port or (443 if self._tls else 80))
        self._signer = Signer(parts.netloc, endpoint.region)
        self._credentials = credentials
        self._now = now
        self._refused = refused
        self._skew_s = 0.0
        self._local = threading.local()

    def call(self, operation: str, parameters: dict[str, Any]) -> bytes:
        """The answer's body.

        Raises:
            Failure: an error answer, or none that can be used.
        """
        body = orjson.dumps(parameters)
        target = f"{self._endpoint.target}.{operation}"
        now_s = self._now() + self._skew_s
        headers = self._signer.headers(self._credentials(), target, _CONTENT_TYPE, body, now_s)
        answer = self._exchange(body, headers)
        if answer.status == 200:
            _check_sum(answer)
            return answer.body
        raise self._error(answer)

    def close(self) -> None:
        """Close this thread's connection."""
        connection: Exchange | None = getattr(self._local, "connection", None)
        if connection is not None:
            self._local.connection = None
            connection.close()

    def _exchange(self, body: bytes, headers: dict[str, str]) -> Answer:
        kept: Exchange | None = getattr(self._local, "connection", None)
        if kept is not None:
            try:
                return self._ask(kept, body, headers)
            except ConnectionError:
                self.close()  # closed while it was idle; all three calls may be asked again
        connection = self._local.connection = self._connect()
        try:
            return self._ask(connection, body, headers)
        except ConnectionError as error:
            self.close()
            raise self._no_answer(error) from None

    def _ask(self, connection: Exchange, body: bytes, headers: dict[str, str]) -> Answer:
        try:
            answer = connection.post(headers, body)
        except ConnectionError:
            raise
        except (OSError, AnswerError) as error:
            self.close()
            raise self._no_answer(error) from None
        if answer.ends:
            self.close()
        return answer

    def _no_answer(self, error: Exception) -> Failure:
        return Failure(Trouble.UNAVAILABLE, f"{type(error).__name__} at {self._endpoint.url}")

    def _connect(self) -> Exchange:
        host, port = self._address
        proxy = urlsplit(self._endpoint.proxy) if self._endpoint.proxy else None
        if proxy is not None:
            host, port = proxy.hostname or "", proxy.port or 8080
        connection: http.client.HTTPConnection
        if self._tls:
            connection = http.client.HTTPSConnection(
                host, port, timeout=CONNECT_TIMEOUT_S, context=self._endpoint.tls
            )
        else:
            connection = http.client.HTTPConnection(host, port, timeout=CONNECT_TIMEOUT_S)
        if proxy is not None:
            connection.set_tunnel(*self._address, headers=_proxy_headers(proxy))
        try:
            connection.connect()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise self._no_answer(error) from None
        connection.sock.settimeout(READ_TIMEOUT_S)
        return Exchange(connection.sock)

    def _error(self, answer: Answer) -> Failure:
        name = answer.headers.get("x-amzn-errortype") or ""
        message = ""
        try:
            fields = orjson.loads(answer.body)
            name = fields.get("__type") or name
            message = fields.get("message") or fields.get("Message") or ""
        except (ValueError, AttributeError):
            pass
        trouble = classify(answer.status, name)
        if trouble is Trouble.DENIED:
            self._refused()
            self._learn_skew(answer)
        short = name.rsplit("#", 1)[-1] or f"HTTP {answer.status}"
        return Failure(trouble, f"{short} {message[:200]}".strip())

    def _learn_skew(self, answer: Answer) -> None:
        """A refused signature may be our clock's fault: take AWS's from now on."""
        try:
            theirs_s = parsedate_to_datetime(answer.headers["date"]).timestamp()
        except (KeyError, TypeError, ValueError):
            return
        skew_s = theirs_s - self._now()
        if abs(skew_s - self._skew_s) > _SKEW_MIN_S:
            logger.warning("clock differs from AWS", extra={"skew_s": round(skew_s)})
            self._skew_s = skew_s if abs(skew_s) > _SKEW_MIN_S else 0.0


def _check_sum(answer: Answer) -> None:
    sent = answer.headers.get("x-amz-crc32")
    if sent is not None and sent.isdecimal() and zlib.crc32(answer.body) != int(sent):
        raise Failure(Trouble.UNAVAILABLE, "an answer whose checksum is wrong")


def _proxy_headers(proxy: SplitResult) -> dict[str, str]:
    if not proxy.username:
        return {}
    secret = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}".encode()
    return {"Proxy-Authorization": "Basic " + base64.b64encode(secret).decode()}
