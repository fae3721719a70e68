"""Description of text classification. Imports no Keras."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from keras_attn.recipes import (
    NO_CTRANSLATE2,
    Demonstration,
    ExportFormat,
    Metric,
    Recipe,
    Section,
    Signature,
    TaskDescription,
    TensorInfo,
    register_task,
)
from keras_attn.recipes.figures import Run
from keras_attn.recipes.recipe import Count
from keras_attn.tasks import _classification_cards as cards
from keras_attn.tasks._class_weights import ClassificationTraining
from keras_attn.tasks.texts.own_data import TextTableReader, fit_to_texts

F1_MICRO = Metric("f1_micro", "F1 (micro)", " %", 100.0)
EXACT_MATCH = Metric("exact_match", "exact match", " %", 100.0)
BINARY_ACCURACY = Metric("binary_accuracy", "binary accuracy", " %", 100.0)


class Text(Section):
    """Settings of the conversion of texts into ids, see `keras_attn.text.NGramEncoder`.

    Attributes:
        max_length: Maximum number of words that are read of a text.
        head: Number of these words that are taken from the start of a longer text; the others
            are taken from its end. None is a quarter.
        once: Whether only the first occurrence of an n-gram in a text counts.
        min_count: Minimum number of texts that contain an n-gram of the vocabulary.
        lowercase: Whether texts are converted to lower case.
        initial_ratios: The values of n-grams that training starts from, see
            `TextClassifier.initial_ratios`.
    """

    max_length: Count = 512
    head: Annotated[int, Field(ge=0)] | None = None
    once: bool = False
    min_count: Count = 1
    lowercase: bool = True
    initial_ratios: Literal["log_count", "pmi"] = "log_count"


class TextRecipe(Recipe):
    """A recipe with settings of the encoder, see `keras_attn.recipes.Recipe`."""

    text: Text = Text()
    training: ClassificationTraining

    @property
    def preprocessing(self) -> dict[str, Any]:
        """Settings of the `NGramEncoder`, and `initial_ratios`."""
        return self.text.model_dump()

    @property
    def fresh_preprocessing(self) -> dict[str, Any]:
        """The settings of `preprocessing`, with initial values by the number of labels."""
        return {**self.preprocessing, "initial_ratios": None}


class TextClassificationDescription(cards.ClassificationDescription):
    """Classification of a text as one of a set of labels."""

    name = "text_classification"
    model = "keras_attn.tasks.texts.classifier:TextClassifier"
    example, examples = "text", "texts"
    keywords: ClassVar[tuple[str, ...]] = ("sentiment", "topics")
    recipe: ClassVar[type[Recipe]] = TextRecipe
    signature = Signature(
        (TensorInfo("texts", "string", ("B",), "texts in UTF-8"),),
        (
            *cards.OUTPUTS,
            TensorInfo("words", "int32", ("B",), "number of words that are read"),
            TensorInfo("known_words", "int32", ("B",), "how many of them are in the vocabulary"),
        ),
    )
    further_formats: ClassVar[dict[str, ExportFormat]] = {
        "onnx": ExportFormat(
            "ONNX",
            "token_ids int32 (B, T, G), which the client looks up in the vocabularies beside it",
            suffix=".onnx",
        )
    }
    refused_formats: ClassVar[dict[str, str]] = {
        "litert": "LiteRT has no strings, and reserves memory for texts of one length. Use 'onnx' "
        "for token ids, or 'saved_model' for strings.",
        "ctranslate2": NO_CTRANSLATE2,
    }
    usage = 'classify("An hour too long, and I loved every minute.")  # label, score, probabilities'
    pipeline_tag = "text-classification"
    table = TextTableReader()
    multi_label_task: ClassVar[str | None] = "multi_label_text_classification"

    def demonstration(self) -> Demonstration | None:
        from keras_attn.tasks.texts.demonstration import demonstration

        return demonstration()

    def fit_to_data(self, recipe: Recipe, train: Any) -> tuple[Recipe, list[str]]:
        return fit_to_texts(recipe, train)

    def compare(self, model: Any, dataset: Any, metrics: Mapping[str, Any]) -> str | None:
        if "test" not in metrics:
            return None
        from keras_attn.tasks.texts.baselines import compare_with_linear

        return compare_with_linear(model, dataset, metrics["test"][self.primary_metric.key])


class MultiLabelDescription(TextClassificationDescription):
    """Classification of a text by a set of labels, of which it may have several, or none."""

    name = "multi_label_text_classification"
    model = "keras_attn.tasks.texts.multi_label:MultiLabelTextClassifier"
    keywords = ("multi_label",)
    primary_metric = F1_MICRO
    metrics = (F1_MICRO, cards.F1_MACRO, EXACT_MATCH, BINARY_ACCURACY, cards.LOSS)
    signature = Signature(
        TextClassificationDescription.signature.inputs,
        (
            TensorInfo("probabilities", "float32", ("B", "C"), "of each label, in their order"),
            TensorInfo("selected", "bool", ("B", "C"), "at least the threshold of the model"),
            *TextClassificationDescription.signature.outputs[len(cards.OUTPUTS) :],
        ),
    )
    usage = 'classify("The match was rained off.")  # labels, probabilities'
    pipeline_tag = "text-classification"
    multi_label_task = None

    def demonstration(self) -> None:
        return None

    def metric_columns(self, metrics: Mapping[str, Any]) -> dict[str, str]:
        return {
            **TaskDescription.metric_columns(self, metrics),
            "calibration error": cards.CALIBRATION_ERROR.format(metrics["calibration_error"]),
            "examples": f"{metrics['examples']:,}",
        }

    def card_results(self, recipe: Recipe, runs: Mapping[str, Sequence[Run]]) -> list[str]:
        return TaskDescription.card_results(self, recipe, runs)


DESCRIPTION: TaskDescription = register_task(TextClassificationDescription())
MULTI_LABEL_DESCRIPTION: TaskDescription = register_task(MultiLabelDescription())
