"""Kafka into Delta Lake: merges that keep the data's timeline, exactly once."""

from sinks.dataset import Dataset

__all__ = ["Dataset"]
