"""Token ids with a fixed meaning, defined once for tokenizers, models and tasks.

There are three numberings. All pad with 0.

`text.SubwordTokenizer`: 1 is the start of a sequence, 2 its end, 3 to 258 are the bytes 0x00 to
0xFF, and pieces follow.

`text.CharacterTokenizer`: 1 is the start of a sequence, 2 its end, 3 a character that is not in the
vocabulary, and characters follow.

`text.Vocabulary`, of words and n-grams: 0 also says that no n-gram begins here, 1 is a term that is
not in the vocabulary, and terms follow.
"""

PADDING_ID = 0

# Subwords and characters.
START_ID = 1
END_ID = 2
FIRST_BYTE_ID = 3
FIRST_PIECE_ID = FIRST_BYTE_ID + 256

# Characters.
UNKNOWN_CHARACTER_ID = 3
FIRST_CHARACTER_ID = 4

# Words and n-grams.
UNKNOWN_ID = 1
FIRST_TERM_ID = 2
