"""From the name of an architecture to a task."""

from collections.abc import Mapping, Sequence
from typing import Any

from keras_attn import models
from keras_attn.tasks.images.classifier import ImageClassifier
from keras_attn.tasks.texts.classifier import TextClassifier
from keras_attn.tasks.translation.translator import Translator
from keras_attn.text import NGramEncoder, Normalizer, SubwordTokenizer

Task = ImageClassifier | TextClassifier | Translator


def from_architecture(
    architecture: str,
    label_names: Sequence[str] = (),
    text: Mapping[str, Any] | None = None,
    **settings: Any,
) -> Task:
    """The task of an architecture of `keras_attn.models`, with fresh weights.

    Args:
        architecture: a key of `keras_attn.models.ARCHITECTURES`.
        label_names: the name of each class; none for translation.
        text: settings of the encoder of a text model, see `keras_attn.text.NGramEncoder`; of
            translation `max_length`, `lowercase` and `min_count`, see `Translator`.
        **settings: settings of the architecture.

    Raises:
        ValueError: no architecture has that name; a setting is unknown or impossible; or
            `text` is given for a model of images, or has `once` for one of sequences.

    Example:

    >>> from_architecture("small_attention_cnn", ("cat", "dog")).label_names
    ('cat', 'dog')
    """
    if "num_classes" in settings:
        raise ValueError(
            "The labels say how many classes there are: leave out `num_classes`, and give "
            f"`label_names`. Received: num_classes={settings['num_classes']!r}."
        )
    if architecture in models.TRANSLATION_ARCHITECTURES:
        return _translator(models.build(architecture, **settings), label_names, **(text or {}))
    network = models.build(architecture, num_classes=len(label_names), **settings)
    if architecture in models.TEXT_ARCHITECTURES:
        if (text or {}).get("once") and architecture != "ngram_attention":
            raise ValueError(
                f"{architecture!r} reads words in their order, and `once` would take repeated ones "
                "away. Leave it False."
            )
        sizes = network.get_layer("ngrams").vocabulary_sizes
        return TextClassifier(network, NGramEncoder(sizes, **(text or {})), label_names)
    if text:
        raise ValueError(f"{architecture!r} reads images, and `text` is given: {dict(text)}.")
    return ImageClassifier(network, label_names)


def _translator(
    network: Any,
    label_names: Sequence[str],
    max_length: int = 256,
    lowercase: bool = False,
    min_count: int = 2,
) -> Translator:
    if label_names:
        raise ValueError(f"A translator has no labels. Received: label_names={label_names!r}.")
    normalizer = Normalizer(lowercase=lowercase, html=False)
    return Translator(network, SubwordTokenizer(normalizer=normalizer), max_length, min_count)
