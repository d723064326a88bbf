"""Operators whose rows are keyed otherwise than by their item: group_by, key_by, windows, …

What they do happens in two steps, in one application. The first reads changes by item and writes
what each item contributes to which target key into a topic of this dataset's own. The second reads
that topic by target key, keeps what everybody contributed, and writes rows.
"""
