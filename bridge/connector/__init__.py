"""The connector: every change of a DynamoDB table, in order and exactly once, into Kafka.

Workers share the shards through Kafka alone: positions lie in `_checkpoints`, written in the same
transaction as the records they cover. What to do next is decided by pure functions over what was
read there as committed (`shards`, `generation`, `plan`); the rest carries it out.
"""
