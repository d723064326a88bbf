"""AWS as botocore is configured: regions, profiles, endpoints and credentials.

botocore resolves all of it (`AWS_ENDPOINT_URL`, `AWS_ENDPOINT_URL_DYNAMODB`,
`AWS_ENDPOINT_URL_DYNAMODB_STREAMS`, profiles, refreshable credentials) and makes the rare calls;
the calls of the hot path go to the endpoints it found, signed with the credentials it gives.
"""

from __future__ import annotations

import logging
import ssl
import threading
from collections.abc import Callable
from typing import Any, TypeVar

import botocore.exceptions
import botocore.session
import orjson
from botocore.config import Config
from botocore.utils import get_environ_proxies

from bridge.connector.backoff import CallRate
from bridge.connector.calls import CONNECT_TIMEOUT_S, READ_TIMEOUT_S, Endpoint, RawClient
from bridge.connector.failures import Failure, Trouble, classify
from bridge.connector.signing import Keys
from bridge.wire.errors import ConfigurationError

logger = logging.getLogger(__name__)

T = TypeVar("T")

# How a signature of another time is refused.
_CLOCK_CODES = frozenset(
    {"InvalidSignatureException", "SignatureDoesNotMatch", "RequestExpired", "RequestTimeTooSkewed"}
)

# DescribeStream calls by region, of all tables of this process. AWS allows ten in any second.
# Source: DescribeStream, Amazon DynamoDB Streams API Reference.
_DESCRIBES: dict[str, CallRate] = {}

_NO_CREDENTIALS = (
    "Set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or attach a role"
)


class AwsRegion:
    """Both DynamoDB services of one region; None is botocore's region.

    `describes` is the rate of DescribeStream calls that the whole process shares.

    Raises:
        ConfigurationError: there is no region, no such profile, or no credentials.
    """

    def __init__(self, region: str | None) -> None:
        self._wanted = region
        self._clock_refused = False
        self._lock = threading.Lock()
        try:
            self._start_session()
        except botocore.exceptions.NoRegionError:
            raise ConfigurationError(
                "no AWS region is set",
                where="DynamoDBSource(region=…)",
                remedy="Set region on the source, or AWS_REGION",
            ) from None
        except botocore.exceptions.BotoCoreError as error:
            raise ConfigurationError(
                str(error), where="AWS configuration", remedy="Check AWS_PROFILE and the AWS files"
            ) from None
        except ValueError as error:  # an endpoint that is not a URL
            raise ConfigurationError(
                str(error), where="AWS configuration", remedy="Check AWS_ENDPOINT_URL"
            ) from None
        self.describes = _DESCRIBES.setdefault(self.name, CallRate(per_s=7.0, burst=3))
        self.keys()  # no credentials is found out now, not at the first call
        self.streams = self._raw(self.streams_client, "DynamoDBStreams_20120810")
        self.table_calls = self._raw(self.tables_client, "DynamoDB_20120810")

    def _start_session(self) -> None:
        session = botocore.session.get_session()
        config = Config(
            connect_timeout=CONNECT_TIMEOUT_S,
            read_timeout=READ_TIMEOUT_S,
            retries={"mode": "standard", "total_max_attempts": 2},
        )
        make: Any = session.create_client
        self.tables_client: Any = make("dynamodb", region_name=self._wanted, config=config)
        self.streams_client: Any = make("dynamodbstreams", region_name=self._wanted, config=config)
        self.name: str = self.tables_client.meta.region_name
        self._ca_bundle = session.get_config_variable("ca_bundle")
        self._credentials: Any = session.get_credentials()

    def _raw(self, client: Any, target: str) -> RawClient:
        url: str = client.meta.endpoint_url
        scheme = url.split(":", 1)[0]
        proxies = get_environ_proxies(url)
        tls = ssl.create_default_context(cafile=self._ca_bundle) if scheme == "https" else None
        endpoint = Endpoint(
            url=url, region=self.name, target=target, proxy=proxies.get(scheme), tls=tls
        )
        return RawClient(endpoint, self.keys, refused=self.renew)

    @property
    def custom(self) -> bool:
        """Whether the endpoint is somebody's own, not AWS."""
        return ".amazonaws.com" not in str(self.streams_client.meta.endpoint_url)

    def keys(self) -> Keys:
        """The credentials of this moment, refreshed by botocore when they are about to expire.

        Raises:
            ConfigurationError: there are none.
            Failure: they could not be refreshed now.
        """
        credentials = self._credentials
        if credentials is None:
            raise ConfigurationError(
                "no AWS credentials were found", where="AWS", remedy=_NO_CREDENTIALS
            )
        try:
            frozen = credentials.get_frozen_credentials()
        except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
            raise Failure(Trouble.DENIED, f"refreshing credentials: {error}") from None
        return Keys(frozen.access_key, frozen.secret_key, frozen.token)

    def renew(self) -> None:
        """AWS refused the credentials: find them anew, as at the start of the process."""
        with self._lock:
            try:
                found = botocore.session.get_session().get_credentials()
            except botocore.exceptions.BotoCoreError as error:
                logger.warning("looking for credentials failed", extra={"cause": str(error)})
                return
            if found is not None:
                self._credentials = found

    def ask(self, call: Callable[..., T], **parameters: Any) -> T:
        """A rare call through botocore.

        botocore signs with this machine's clock and no other. Once that was refused as wrong, our
        own client asks instead: it has learned the difference.

        Raises:
            Failure: it failed, whatever way.
        """
        if self._clock_refused:
            learned: T = self._ask_raw(call, parameters)
            return learned
        try:
            return call(**parameters)
        except botocore.exceptions.ClientError as error:
            detail = error.response.get("Error", {})
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            code = str(detail.get("Code", ""))
            trouble = classify(status, code)
            if code in _CLOCK_CODES:
                answer: T = self._ask_raw(call, parameters)
                self._clock_refused = True
                return answer
            if trouble is Trouble.DENIED:
                self._renew_clients()
            raise Failure(trouble, f"{code} {str(detail.get('Message', ''))[:200]}") from None
        except botocore.exceptions.ParamValidationError as error:
            raise Failure(Trouble.INVALID, str(error)) from None
        except botocore.exceptions.NoCredentialsError as error:
            raise Failure(Trouble.DENIED, str(error)) from None
        except (botocore.exceptions.BotoCoreError, ValueError, KeyError) as error:
            raise Failure(Trouble.UNAVAILABLE, f"{type(error).__name__}: {error}") from None

    def _ask_raw(self, call: Any, parameters: dict[str, Any]) -> Any:
        meta = call.__self__.meta
        streams = meta.service_model.service_name == "dynamodbstreams"
        client = self.streams if streams else self.table_calls
        operation = meta.method_to_api_mapping[call.__name__]
        try:
            body = client.call(operation, parameters)
        except Failure as failure:
            if failure.trouble is not Trouble.DENIED:
                raise
            body = client.call(operation, parameters)  # with the time that the refusal told
        finally:
            client.close()  # this thread may not come again
        return orjson.loads(body)

    def _renew_clients(self) -> None:
        with self._lock:
            try:
                self._start_session()
            except botocore.exceptions.BotoCoreError as error:
                logger.warning("looking for credentials failed", extra={"cause": str(error)})
