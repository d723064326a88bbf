"""DynamoDB Streams into Kafka: in order, exactly once, with a gap-free snapshot."""

from bridge.source import DynamoDBSource

__all__ = ["DynamoDBSource"]
