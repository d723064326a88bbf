"""boto3 clients for tests of an endpoint."""

from typing import Any

import boto3
from botocore.config import Config


def client(service: str, endpoint: str, *, access_key: str = "AKIDFAKE", attempts: int = 1) -> Any:
    """A client that raises what it is told after so many attempts, by default the first."""
    made: Any = boto3.client  # its stubs want the service as a literal
    return made(
        service,
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id=access_key,
        aws_secret_access_key="unused",
        config=Config(
            retries={"total_max_attempts": attempts, "mode": "standard"},
            connect_timeout=5,
            read_timeout=5,
        ),
    )
