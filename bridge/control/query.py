"""`tailrace query`: SQL over the datasets of a lake, each a table of its dataset's id."""
