"""The wire contract: what the three stages say to one another, and nothing else.

Stages never import one another; they meet in these formats and in Kafka. Every format carries a
version, golden files in the tests pin each one byte for byte, and a reader that meets a version it
does not know stops with a message instead of guessing.
"""

WIRE_VERSION = 1
