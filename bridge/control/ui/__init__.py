"""`tailrace ui`: a page to watch a running pipeline; it reads, and changes nothing."""
