"""Description of text generation. Imports no Keras."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

from keras_attn._wording import counted
from keras_attn.recipes import (
    Demonstration,
    Metric,
    Recipe,
    Section,
    Signature,
    TaskDescription,
    TensorInfo,
    register_task,
)
from keras_attn.recipes.figures import Run, results_table, values_of
from keras_attn.recipes.recipe import WITHOUT_ATTENTION, Count
from keras_attn.tasks.generation.options import check_sampling_options
from keras_attn.tasks.generation.own_data import DocumentTableReader, fit_to_documents

LOSS = Metric("loss", "loss per token", digits=3, greater_is_better=False)
SLIDING_LOSS = Metric("sliding_loss", "loss, full context", digits=3, greater_is_better=False)
CHARACTER_LOSS = Metric("character_loss", "nats per character", digits=3, greater_is_better=False)
PERPLEXITY = Metric("perplexity", "perplexity", digits=2, greater_is_better=False)
ACCURACY = Metric("accuracy", "accuracy", " %", 100.0)


class Tokens(Section):
    """Settings of the tokenizer.

    Attributes:
        tokens: `"characters"`, see `keras_attn.text.CharacterTokenizer`; or `"subwords"`, see
            `keras_attn.text.SubwordTokenizer`.
        min_count: Minimum number of occurrences of a character, or of a pair of subwords that is
            merged.
    """

    tokens: Literal["characters", "subwords"] = "characters"
    min_count: Count = 1


class GenerationRecipe(Recipe):
    """A recipe with settings of the tokenizer, see `keras_attn.recipes.Recipe`."""

    tokenizer: Tokens = Tokens()

    @property
    def preprocessing(self) -> dict[str, Any]:
        """Settings of the tokenizer."""
        return self.tokenizer.model_dump()


class TextGeneration(TaskDescription):
    """Continuation of texts by a causal language model."""

    name = "text_generation"
    model = "keras_attn.tasks.generation.generator:TextGenerator"
    example, examples = "prompt", "prompts"
    keywords = ("generation", "language_model", "generate")
    primary_metric = LOSS
    metrics = (LOSS, SLIDING_LOSS, CHARACTER_LOSS, PERPLEXITY, ACCURACY)
    recipe: ClassVar[type[Recipe]] = GenerationRecipe
    signature = Signature(
        (
            TensorInfo("texts", "string", ("B",), "prompts in UTF-8; a prompt may be empty"),
            TensorInfo("seed", "int64", (), "determines the random choices"),
        ),
        (
            TensorInfo("text", "string", ("B",), "prompts with their completions"),
            TensorInfo("completion", "string", ("B",), "completions"),
            TensorInfo("score", "float32", ("B",), "log-probabilities of completions in nats"),
        ),
    )
    usage = 'generate("ROMEO:", seed=1)  # text, completion, score'
    pipeline_tag = "text-generation"
    prints_texts: ClassVar[bool] = True
    example_rule = (
        "Beginnings of the first five validation documents, or of five equal parts if there are "
        "fewer, continued at temperature 0.8 with the seeds 0 to 4."
    )
    prediction_options = (
        "max_length",
        "temperature",
        "top_k",
        "top_p",
        "seed",
        "stop",
        "no_repeat_ngram_size",
        "beam_size",
    )
    export_options = ("max_length", "temperature", "top_k", "top_p", "stop")
    refused_formats: ClassVar[dict[str, str]] = dict.fromkeys(
        ("onnx", "litert", "ctranslate2"),
        "its loop over tokens, with a seed and stop strings, needs strings and TensorFlow's loops. "
        "Use 'saved_model'.",
    )
    table = DocumentTableReader()

    def demonstration(self) -> Demonstration:
        from keras_attn.tasks.generation.demonstration import demonstration

        return demonstration()

    def fit_to_data(self, recipe: Recipe, train: Any) -> tuple[Recipe, list[str]]:
        return fit_to_documents(recipe, train)

    def check_options(self, options: Mapping[str, Any]) -> None:
        check_sampling_options(options)

    def summary(self, metrics: Mapping[str, Any]) -> str:
        loss = LOSS.format(metrics["loss"])
        return f"{loss} nats per token, perplexity {PERPLEXITY.format(metrics['perplexity'])}"

    def metric_notes(self, metrics: Mapping[str, Any]) -> list[str]:
        return [
            f"{counted(metrics['tokens'], 'token')} in {counted(metrics['examples'], 'document')}, "
            f"in windows of {metrics['context_length']} tokens, each with its own beginning."
        ]

    def card_results(self, recipe: Recipe, runs: Mapping[str, Sequence[Run]]) -> list[str]:
        metrics = runs[""][0]["metrics"]["test"]
        further = {
            f"test {title}": _test_mean(key, form)
            for title, key, form in (
                ("loss, full context", "sliding_loss", ".3f"),
                ("nats per character", "character_loss", ".3f"),
                ("perplexity", "perplexity", ".2f"),
            )
            if all(key in run["metrics"]["test"] for rows in runs.values() for run in rows)
        }
        unit = "character" if recipe.preprocessing["tokens"] == "characters" else "subword"
        return [
            f"Data: {recipe.dataset}, trained on its training split. The test split was read once "
            f"a run, at its end. A token is a {unit}, or the end of a document; losses are in "
            f"nats. Documents are cut into windows of {metrics['context_length']} tokens, each of "
            "which begins without what is before it, as is usual for small language models. "
            "With full context, each token is predicted from as many tokens before it.",
            results_table(LOSS, runs, further),
            *_gain_of_attention(runs),
        ]


def _test_mean(key: str, form: str = ".3f") -> Any:
    """Return a column of a table: the mean of a metric of the test split over runs."""

    def column(runs: Sequence[Run]) -> str:
        values = [run["metrics"]["test"][key] for run in runs]
        return format(sum(values) / len(values), form)

    return column


def _gain_of_attention(runs: Mapping[str, Sequence[Run]]) -> list[str]:
    """Return the difference of the loss to that of the baseline without attention."""
    baseline = runs.get(WITHOUT_ATTENTION, ())
    if not baseline:
        return []
    with_attention, without = (
        sum(values) / len(values)
        for values in (values_of(LOSS, group, "test") for group in (runs[""], baseline))
    )
    return [
        f"Without attention, where each token receives the mean over all tokens before it, the "
        f"loss differs by {without - with_attention:+.3f} nats per token ({len(runs[''])} and "
        f"{len(baseline)} runs)."
    ]


DESCRIPTION: TaskDescription = register_task(TextGeneration())
