"""A fake of DynamoDB and DynamoDB Streams with many shards, scripted troubles and a journal.

`World` is the whole of it as an object; `FakeDynamoDB` puts HTTP in front of one in this process;
`python -m tests.fakes.dynamodb --port N`, or `running`, does so in its own, steered by `Remote`.
"""

from tests.fakes.dynamodb.clock import Clock, SystemClock, VirtualClock
from tests.fakes.dynamodb.control import Remote
from tests.fakes.dynamodb.errors import AnswerLostError, AwsError, NoAnswerError, RequestLostError
from tests.fakes.dynamodb.history import History, Version
from tests.fakes.dynamodb.process import running
from tests.fakes.dynamodb.server import FakeDynamoDB
from tests.fakes.dynamodb.settings import Settings
from tests.fakes.dynamodb.world import Answer, World

__all__ = [
    "World",
    "Settings",
    "Answer",
    "History",
    "Version",
    "Clock",
    "SystemClock",
    "VirtualClock",
    "FakeDynamoDB",
    "Remote",
    "running",
    "AwsError",
    "NoAnswerError",
    "RequestLostError",
    "AnswerLostError",
]
