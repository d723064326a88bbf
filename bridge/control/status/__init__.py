"""`tailrace status`: how far everything is, what is wrong, and what to type next."""
