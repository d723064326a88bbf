"""The language of transforms: text in, one Python function out.

Text is tokenized, parsed into a tree with positions, resolved against what a name means at that
point of the chain, typed, and written as the source of one function. No text of the user's ever
becomes source: names and literals are handed to the function as constants.
"""
