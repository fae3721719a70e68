"""Description of translation. Imports no Keras."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from keras_attn.recipes import (
    Demonstration,
    ExportFormat,
    Metric,
    Recipe,
    Section,
    Signature,
    TaskDescription,
    TensorInfo,
    Training,
    register_task,
)
from keras_attn.recipes.figures import Run
from keras_attn.recipes.recipe import Count, Fraction, NonNegative
from keras_attn.tasks.translation import _card
from keras_attn.tasks.translation.own_data import PairTableReader, fit_to_pairs

BLEU = Metric("bleu", "BLEU", " BLEU")


class Subwords(Section):
    """Settings of the subword tokenizer, see `keras_attn.text.SubwordTokenizer`.

    Attributes:
        max_length: Maximum number of subwords that are read of a sentence.
        lowercase: Whether sources and targets are converted to lower case.
        min_count: Minimum number of occurrences of a pair of subwords that is merged.
        fold_targets: Whether quotes, dashes and full-width forms of targets are converted into
            ASCII, as those of sources are. With False, the model learns to write them.
        dropout: Rate at which merges are skipped in training, see
            `keras_attn.text.SubwordDropout`.
    """

    max_length: Count = 256
    lowercase: bool = False
    min_count: Count = 2
    fold_targets: bool = False
    dropout: Fraction = 0.0


class TranslationTraining(Training):
    """Length, batch size in tokens and precision of training, and R-Drop.

    Attributes:
        r_drop: Weight of the divergence between the predictions for two copies of each pair,
            which differ by dropout, see `keras_attn.tasks.divergence_of_copies`. With 0, batches
            have one copy of each pair.
        bleu_epochs: Compute BLEU on the validation split after every so many epochs, and after
            the last one.
    """

    r_drop: NonNegative = 0.0
    bleu_epochs: Count = 1


class TranslationRecipe(Recipe):
    """A recipe with settings of the tokenizer, see `keras_attn.recipes.Recipe`."""

    former_settings: ClassVar[Mapping[tuple[str, str], Any]] = {("subwords", "fold_targets"): True}

    subwords: Subwords = Subwords()
    training: TranslationTraining

    @property
    def preprocessing(self) -> dict[str, Any]:
        """Settings of the translator and its tokenizer."""
        return self.subwords.model_dump(exclude={"dropout"})

    @property
    def fresh_preprocessing(self) -> dict[str, Any]:
        """The settings of `preprocessing`, with targets as they are written."""
        return {**self.preprocessing, "fold_targets": False}

    def check_replicas(self, replicas: int) -> None:
        """Raise ValueError for R-Drop on several replicas. Any batch size, in tokens, is valid."""
        if self.training.r_drop and replicas > 1:
            raise ValueError(
                "The two copies of a pair that `r_drop` compares must stay on one replica. "
                f"Received: {replicas} replicas. Train on one, or without r_drop."
            )


class TranslationDescription(TaskDescription):
    """Translation of sentences of one language into another."""

    name = "translation"
    model = "keras_attn.tasks.translation.translator:Translator"
    example, examples = "sentence", "sentences"
    keywords = ("translate",)
    primary_metric = BLEU
    example_titles = ("reference", "translation")
    example_rule = "Five sentences at equal distances in the validation split."
    recipe: ClassVar[type[Recipe]] = TranslationRecipe
    signature = Signature(
        (TensorInfo("texts", "string", ("B",), "sentences in UTF-8"),),
        (
            TensorInfo("text", "string", ("B",), "translations"),
            TensorInfo("score", "float32", ("B",), "their log-probabilities in nats"),
            TensorInfo("characters", "int32", ("B",), "number of characters of the sentence"),
            TensorInfo("known_characters", "int32", ("B",), "of those, in subwords of the model"),
        ),
    )
    usage = 'translate("Two dogs play in the snow.")  # text, score'
    pipeline_tag = "translation"
    prediction_options = ("beam_size",)
    export_options = (
        "beam_size",
        "length_penalty",
        "min_length",
        "no_repeat_ngram_size",
        "banned_words",
    )
    further_formats: ClassVar[dict[str, ExportFormat]] = {
        "ctranslate2": ExportFormat(
            "CTranslate2",
            "ids as strings; keras_attn.tasks.CTranslate2Translator reads texts",
            ("quantization",),
        )
    }
    refused_formats: ClassVar[dict[str, str]] = {
        "onnx": "beam search and the cache of its steps are a loop over strings and growing "
        "tensors. Use 'ctranslate2' or 'saved_model'.",
        "litert": "beam search is a loop over strings and growing tensors. Use 'ctranslate2' or "
        "'saved_model'.",
    }
    table = PairTableReader()

    def demonstration(self) -> Demonstration:
        from keras_attn.tasks.translation.demonstration import demonstration

        return demonstration()

    def selection_title(self, recipe: Recipe) -> str:
        return "accuracy of tokens"

    def metric_columns(self, metrics: Mapping[str, Any]) -> dict[str, str]:
        return {
            **_card.scores(metrics),
            "loss": f"{metrics['loss']:.4f}",
            "examples": f"{metrics['examples']:,}",
        }

    def summary(self, metrics: Mapping[str, Any]) -> str:
        return ", ".join(f"{value} {title}" for title, value in _card.scores(metrics).items())

    def metric_notes(self, metrics: Mapping[str, Any]) -> list[str]:
        return _card.notes(metrics)

    def test_figure(self, runs: Sequence[Run]) -> str:
        return _card.bleu_figure(runs, "test")

    def card_results(self, recipe: Recipe, runs: Mapping[str, Sequence[Run]]) -> list[str]:
        return _card.results(recipe, runs)

    def fit_to_data(self, recipe: Recipe, train: Any) -> tuple[Recipe, list[str]]:
        return fit_to_pairs(recipe, train)


DESCRIPTION: TaskDescription = register_task(TranslationDescription())
