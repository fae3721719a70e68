"""Ids that mean the same to tokenizers, vocabularies, models and losses."""

PADDING_ID = 0
UNKNOWN_ID = 1  # of word n-grams: not in the vocabulary
