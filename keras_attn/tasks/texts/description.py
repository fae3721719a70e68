"""Description of text classification. Imports no Keras."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import Field

from keras_attn.recipes import (
    Recipe,
    Section,
    Signature,
    TaskDescription,
    TensorInfo,
    register_task,
)
from keras_attn.recipes.recipe import Count, Positive
from keras_attn.tasks import _classification_cards as cards
from keras_attn.tasks._class_weights import ClassificationTraining
from keras_attn.tasks.texts.own_data import TextTableReader, fit_to_texts


class Text(Section):
    """Settings of the conversion of texts into ids, see `keras_attn.text.NGramEncoder`.

    Attributes:
        max_length: Maximum number of words that are read of a text.
        head: Number of these words that are taken from the start of a longer text; the others
            are taken from its end. None is a quarter.
        once: Whether only the first occurrence of an n-gram in a text counts.
        min_count: Minimum number of texts that contain an n-gram of the vocabulary.
        lowercase: Whether texts are converted to lower case.
        ratio_smoothing: Number of texts added to each count for the log-count ratios that a
            network starts from, see `TextClassifier.ratio_smoothing`.
    """

    max_length: Count = 512
    head: Annotated[int, Field(ge=0)] | None = None
    once: bool = False
    min_count: Count = 1
    lowercase: bool = True
    ratio_smoothing: Positive = 1.0


class TextRecipe(Recipe):
    """A recipe with settings of the encoder, see `keras_attn.recipes.Recipe`."""

    text: Text = Text()
    training: ClassificationTraining

    @property
    def preprocessing(self) -> dict[str, Any]:
        """Settings of the `NGramEncoder`, and `ratio_smoothing`."""
        return self.text.model_dump()


class TextClassificationDescription(cards.ClassificationDescription):
    """Classification of a text as one of a set of labels."""

    name = "text_classification"
    model = "keras_attn.tasks.texts.classifier:TextClassifier"
    example, examples = "text", "texts"
    keywords = ("sentiment", "topics")
    recipe: ClassVar[type[Recipe]] = TextRecipe
    signature = Signature(
        (TensorInfo("texts", "string", ("B",), "texts in UTF-8"),),
        (
            *cards.OUTPUTS,
            TensorInfo("words", "int32", ("B",), "number of words that are read"),
            TensorInfo("known_words", "int32", ("B",), "how many of them are in the vocabulary"),
        ),
    )
    usage = 'classify("An hour too long, and I loved every minute.")  # label, score, probabilities'
    table = TextTableReader()

    def fit_to_data(self, recipe: Recipe, train: Any) -> tuple[Recipe, list[str]]:
        return fit_to_texts(recipe, train)

    def compare(self, model: Any, dataset: Any, metrics: Mapping[str, Any]) -> str | None:
        if "test" not in metrics:
            return None
        from keras_attn.tasks.texts.baselines import compare_with_linear

        return compare_with_linear(model, dataset, metrics["test"]["accuracy"])


DESCRIPTION: TaskDescription = register_task(TextClassificationDescription())
