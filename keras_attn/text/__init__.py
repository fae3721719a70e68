"""Conversion of texts to ids and back, with core TensorFlow operations.

Layers and functions of this package run in a graph and in `tf.data.Dataset.map`. A SavedModel
that contains them needs neither this package nor tensorflow-text.
"""

from typing import TYPE_CHECKING

from keras_attn import _lazy

if TYPE_CHECKING:
    from keras_attn.text.characters import CharacterTokenizer, count_characters
    from keras_attn.text.encoder import NGramEncoder
    from keras_attn.text.normalization import Normalizer
    from keras_attn.text.subword_dropout import SubwordDropout
    from keras_attn.text.subword_training import train_subwords
    from keras_attn.text.subwords import SubwordTokenizer
    from keras_attn.text.truncation import keep_ends
    from keras_attn.text.vocabulary import Vocabulary
    from keras_attn.text.word_ngrams import hash_ngrams, ngrams
    from keras_attn.text.words import split_words

__getattr__, __dir__, __all__ = _lazy.attach(
    __name__,
    {
        "characters": ["CharacterTokenizer", "count_characters"],
        "normalization": ["Normalizer"],
        "words": ["split_words"],
        "word_ngrams": ["hash_ngrams", "ngrams"],
        "truncation": ["keep_ends"],
        "vocabulary": ["Vocabulary"],
        "encoder": ["NGramEncoder"],
        "subwords": ["SubwordTokenizer"],
        "subword_dropout": ["SubwordDropout"],
        "subword_training": ["train_subwords"],
    },
)
