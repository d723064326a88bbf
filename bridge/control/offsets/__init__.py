"""`tailrace offsets`: where every stage stands, and moving one where that breaks no promise."""
