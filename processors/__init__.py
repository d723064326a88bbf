"""Transforms: a few lines of Python between a stream of changes and a dataset."""

from processors.stream import Input, Output, Stream
from processors.transform import transform

__all__ = ["Input", "Output", "Stream", "transform"]
