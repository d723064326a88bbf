"""`tailrace ui`: a page to watch a running pipeline; it reads, and changes nothing."""

DEFAULT_PORT = 8717
LOOPBACK = "127.0.0.1"
