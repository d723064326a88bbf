"""`tailrace init`: a project of one's own."""
