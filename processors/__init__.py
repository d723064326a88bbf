"""Transforms: a few lines of Python between a stream of changes and a dataset."""

from processors.columns import col, lit, when
from processors.keyed.windows import tumbling
from processors.stream import Input, Output, Stream
from processors.transform import transform

__all__ = ["Input", "Output", "Stream", "col", "lit", "transform", "tumbling", "when"]
