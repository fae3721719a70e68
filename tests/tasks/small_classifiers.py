"""Small text classifiers, their texts, and Naive Bayes of these by the book."""

import collections
import itertools
import math

import keras

from keras_attn.tasks import (
    from_architecture,
)

NAMES = ("bad", "good")
TEXTS = [
    "a fine film with a fine cast",
    "fine acting and a film to love",
    "not bad but fine",
    "love it",
    "a dull film with a dull cast",
    "dull acting and a film to leave",
    "not fine but bad",
]
LABELS = [1, 1, 1, 1, 0, 0, 0]
NEW = ["fine film", "dull film", "love the cast", "leave", "not bad", "not fine but dull"]
SMALL = {
    "ngram_attention": {},
    "recurrent_attention": {"embedding_dim": 3, "units": 4, "attention_units": 5, "bag": True},
    "text_transformer": {
        **{"embedding_dim": 3, "model_dim": 8, "num_layers": 1, "num_heads": 2},
        **{"intermediate_dim": 6, "window": 9},
    },
}


def grams_of(text):
    words = text.split()
    return words + [" ".join(pair) for pair in itertools.pairwise(words)]


# As many ids as there are words and pairs, with those of padding and unknown.
GRAMS = {gram for text in TEXTS for gram in grams_of(text)}
SIZES = tuple(2 + sum(gram.count(" ") == order for gram in GRAMS) for order in (0, 1))


def make(architecture="ngram_attention", preprocessing=None, **more):
    keras.utils.set_random_seed(0)
    settings = {"vocabulary_sizes": SIZES, **SMALL[architecture], **more}
    return from_architecture(architecture, NAMES, preprocessing=preprocessing, **settings)


def naive_bayes():
    """The log-ratio of each n-gram, for the good against the bad: counts of texts, plus one."""
    counts = {label: collections.Counter() for label in (0, 1)}
    for text, label in zip(TEXTS, LABELS, strict=True):
        counts[label].update(set(grams_of(text)))
    share = {
        gram: [(counts[label][gram] + 1) / (counts[label].total() + len(GRAMS)) for label in (0, 1)]
        for gram in GRAMS
    }
    return {gram: math.log(good / bad) for gram, (bad, good) in share.items()}


def mean_ratio(text):
    ratios = naive_bayes()
    known = [ratios[gram] for gram in grams_of(text) if gram in ratios]
    return sum(known) / len(known) if known else 0.0


def vote(text):
    """What the average of a short text counts: as one over 64 n-grams."""
    number = sum(gram in GRAMS for gram in grams_of(text))
    return mean_ratio(text) * min(1.0, number / 64)
