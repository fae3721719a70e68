"""Description of text classification. Imports no Keras."""

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
from keras_attn.recipes.recipe import Count
from keras_attn.tasks import _classification_cards as cards
from keras_attn.tasks.texts.own_data import TextTableReader, fit_to_texts


class Text(Section):
    """How texts become ids, see `keras_attn.text.NGramEncoder`.

    Attributes:
        max_length: The most words of a text that are read.
        head: How many of them are its first, from 0 to all; None is a quarter.
        once: Whether an n-gram counts only where it first stands in a text.
        min_count: The least number of texts that an n-gram of the vocabulary occurs in.
        lowercase: Whether words are compared in lower case.
    """

    max_length: Count = 512
    head: Annotated[int, Field(ge=0)] | None = None
    once: bool = False
    min_count: Count = 1
    lowercase: bool = True


class TextRecipe(Recipe):
    """A recipe with settings of the encoder, see `keras_attn.recipes.Recipe`."""

    text: Text = Text()

    @property
    def preprocessing(self) -> dict[str, Any]:
        """Settings of the `NGramEncoder`."""
        return self.text.model_dump()


class TextClassification(cards.ClassificationDescription):
    """Texts in, one of a set of labels out."""

    name = "text_classification"
    model = "keras_attn.tasks.texts.classifier:TextClassifier"
    example, examples = "text", "texts"
    recipe: ClassVar[type[Recipe]] = TextRecipe
    signature = Signature(
        (TensorInfo("texts", "string", ("B",), "texts in UTF-8"),),
        cards.OUTPUTS,
    )
    usage = 'classify("An hour too long, and I loved every minute.")  # label, score, probabilities'
    table = TextTableReader()

    def fit_to_data(self, recipe: Recipe, train: Any) -> tuple[Recipe, list[str]]:
        return fit_to_texts(recipe, train)


DESCRIPTION: TaskDescription = register_task(TextClassification())
