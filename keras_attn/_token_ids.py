"""Token ids with a fixed meaning, defined once for tokenizers, models and tasks.

There are two numberings. Both pad with 0.

| id | subwords (`text.SubwordTokenizer`) | words and n-grams (`text.Vocabulary`) |
|---|---|---|
| 0 | padding | padding, and "no n-gram begins here" |
| 1 | start of a sequence | a term that is not in the vocabulary |
| 2 | end of a sequence | the first term |
| 3 to 258 | the bytes 0x00 to 0xFF | terms |
| from 259 on | pieces | terms |
"""

PADDING_ID = 0

# Subwords.
START_ID = 1
END_ID = 2
FIRST_BYTE_ID = 3
FIRST_PIECE_ID = FIRST_BYTE_ID + 256

# Words and n-grams.
UNKNOWN_ID = 1
FIRST_TERM_ID = 2
