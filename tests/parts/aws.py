"""How the tests, and the processes they start, reach an AWS service at an address."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

REGION = "us-west-2"
ACCESS_KEY = "tailracetest"
SECRET_KEY = "tailracetestsecret"
# What a server that is still starting makes a client raise.
NOT_YET = (BotoCoreError, ClientError, OSError)


def credentials() -> dict[str, str]:
    """Environment variables of a made-up account, for servers of our own."""
    return {
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
    }


def credentials_of_the_environment() -> dict[str, str]:
    """The same variables as the test run was given, made up where it was given none."""
    return {name: os.environ.get(name, value) for name, value in credentials().items()}


def client(service: str, endpoint: str, account: Mapping[str, str]) -> Any:
    """A boto3 client of `service` that fails fast instead of trying again."""
    # Untyped: the stubs ask for the service as a literal.
    make: Any = boto3.client
    return make(
        service,
        endpoint_url=endpoint,
        region_name=account["AWS_REGION"],
        aws_access_key_id=account["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=account["AWS_SECRET_ACCESS_KEY"],
        config=Config(
            retries={"total_max_attempts": 1},
            connect_timeout=2,
            read_timeout=20,
            s3={"addressing_style": "path"},
        ),
    )
