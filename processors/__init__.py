"""Transforms: a few lines of Python between a stream of changes and a dataset."""
