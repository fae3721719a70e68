"""Ids that mean the same to tokenizers, vocabularies, models and losses."""

PADDING_ID = 0
UNKNOWN_ID = 1  # of word n-grams: not in the vocabulary
FIRST_TERM_ID = 2  # of word n-grams in a vocabulary
