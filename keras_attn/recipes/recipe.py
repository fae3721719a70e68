"""Recipes: everything that makes a training run, in one validated TOML file.

This module is read to list and describe entries, and imports no Keras.
"""

import hashlib
import os
import pathlib
import re
import tomllib
import typing
from typing import Annotated, Any, Literal

import pydantic
from pydantic import Field

NonNegative = Annotated[float, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
Count = Annotated[int, Field(ge=1)]


class RecipeError(ValueError):
    """A recipe that cannot be used; the message names the file, the key and the remedy."""


class _Section(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False
    )


class Augmentation(_Section):
    """Random changes to training images; 0 or false switches one off.

    Attributes:
        flip: mirror half of the images left to right; `"alternating"`: each image every
            other epoch, half of them in the first (Jordan, arXiv:2404.00498).
        shift: move by up to this many pixels along both sides, reflecting at the border.
        cutout: side in pixels of a square that is greyed out.
        mixup: `alpha` of the beta distribution that images are mixed by.
        cutmix: `alpha` of the beta distribution that sizes the exchanged rectangles.
    """

    flip: bool | Literal["alternating"] = False
    shift: Annotated[int, Field(ge=0)] = 0
    cutout: Annotated[int, Field(ge=0)] = 0
    mixup: NonNegative = 0.0
    cutmix: NonNegative = 0.0


class Text(_Section):
    """How texts become ids, see `keras_attn.text.NGramEncoder`.

    Attributes:
        max_length: the most words that are kept of a text.
        head: how many of them are its first, from 0 to all; None is a quarter.
        once: whether an n-gram counts only where it first stands in a text.
        min_count: the least number of texts that an n-gram of the vocabulary stands in.
        lowercase: whether words are compared in lower case.
    """

    max_length: Count = 512
    head: Annotated[int, Field(ge=0)] | None = None
    once: bool = False
    min_count: Count = 1
    lowercase: bool = True


class Subwords(_Section):
    """How sentences become ids and back, see `keras_attn.text.SubwordTokenizer`.

    Attributes:
        max_length: the most subwords that are read of a sentence.
        lowercase: whether sentences are made lower case, on both sides.
        min_count: how often what becomes a subword must be seen.
        dropout: rate at which subwords are passed over in training, see
            `keras_attn.text.SubwordDropout`.
    """

    max_length: Count = 256
    lowercase: bool = False
    min_count: Count = 2
    dropout: Fraction = 0.0


class Group(_Section):
    """How Muon's optimizer updates some variables, see `keras_attn.optimizers.ParameterGroup`.

    Attributes:
        match: regular expression, searched for in variables' paths; without it the group is
            for what is no matrix and in no other group.
        name: the rule.
        learning_rate: follows the schedule as the optimizer's does.
        momentum, beta_2, weight_decay: as of `Optimizer`; the decay is of all in the group.
    """

    match: str = ""
    name: Literal["muon", "sgd", "adamw"] = "adamw"
    learning_rate: Positive
    momentum: Fraction = 0.9
    beta_2: Fraction = 0.999
    weight_decay: NonNegative = 0.0

    @pydantic.model_validator(mode="after")
    def _usable(self) -> "Group":
        try:
            re.compile(self.match)
        except re.error as error:
            raise ValueError(f"match: {self.match!r} is no regular expression: {error}") from error
        if self.name == "muon" and not self.match:
            raise ValueError("match: a group of 'muon' must say which matrices it is for")
        _check_beta_2(self, "optimizer.groups.beta_2")
        return self


class Optimizer(_Section):
    """The optimizer. Weight decay is decoupled: a step multiplies by `1 - rate * decay`.

    That of Muon applies to matrices alone, that of a group to all in it, that of others to all
    but biases and the scales and offsets of normalizations. `momentum` is AdamW's first beta,
    and `beta_2` AdamW's alone. What follows `weight_decay` is of Muon, see
    `keras_attn.optimizers.Muon`.
    """

    name: Literal["sgd", "adamw", "muon"]
    learning_rate: Positive
    momentum: Fraction = 0.9
    beta_2: Fraction = 0.999
    weight_decay: NonNegative = 0.0
    iterations: Count = 5  # Newton-Schulz, a step
    update_rms: Positive | None = None
    normalize: str | None = None
    groups: list[Group] = []

    @pydantic.model_validator(mode="after")
    def _fits(self) -> "Optimizer":
        for key in ("iterations", "update_rms", "normalize", "groups"):
            if self.name != "muon" and getattr(self, key) != type(self).model_fields[key].default:
                raise ValueError(f"optimizer.{key}: this key is for the optimizer 'muon'")
        _check_beta_2(self, "optimizer.beta_2")
        if sum(not group.match for group in self.groups) > 1:
            raise ValueError("optimizer.groups: only one may be without `match`")
        return self


def _check_beta_2(section: Group | Optimizer, key: str) -> None:
    if section.name != "adamw" and section.beta_2 != type(section).model_fields["beta_2"].default:
        raise ValueError(f"{key}: this key is for 'adamw', and does nothing for {section.name!r}")


class Schedule(_Section):
    """The learning rate over training: a linear warm-up, then a decay.

    Attributes:
        warmup_epochs: epochs from 0 to the full rate; may be a fraction.
        decay: the shape of the way down.
        final_fraction: the rate that the decay comes to after the last step, as a fraction of
            the full one.
    """

    warmup_epochs: NonNegative = 0.0
    decay: Literal["linear", "cosine", "constant"] = "cosine"
    final_fraction: Fraction = 0.0


class Training(_Section):
    """How long, in what pieces, and at what precision.

    Attributes:
        epochs: passes over the training split.
        batch_size: examples a step, over all replicas; of translation tokens a step, counted
            on the longer side of each pair.
        label_smoothing: share of the target that is spread over all classes.
        ema: how much the exponential moving average of the weights keeps a step, or 0
            for none; the average is what is evaluated and kept.
        r_drop: weight of the divergence between the answers to two copies of each pair, which
            dropout makes different; 0 reads each once. Of translation alone, see
            `keras_attn.tasks.translation.sequence_loss.divergence_of_copies`.
        views: of how many views of an image, averaged, the accuracy is told at the end beside
            that of the image alone, see `keras_attn.tasks.ImageClassifier`.
        precision: a Keras dtype policy.
        seeds: the seeds of the published runs.
    """

    epochs: Count
    batch_size: Count
    label_smoothing: Fraction = 0.0
    ema: Fraction = 0.0
    r_drop: NonNegative = 0.0
    views: Literal[1, 2, 6] = 1
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = "float32"
    seeds: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)] = [0]


class Recipe(_Section):
    """A model, its data and its training.

    Attributes:
        task: what the model does.
        description: one line for lists.
        dataset: a name that `keras_attn.datasets.load` knows.
        architecture: a key of `keras_attn.models.ARCHITECTURES`.
        model: settings of the architecture; checked when the model is built.
        variants: named changes to `model`, trained beside it for comparison.
        notes: what a reader of the card should know, in Markdown.
    """

    task: Literal["image_classification", "text_classification", "translation"]
    description: str
    dataset: Literal[
        "cifar10",
        "cifar100",
        "shapes",
        "imdb",
        "remarks",
        "multi30k_en_de",
        "multi30k_en_fr",
        "multi30k_de_en",
        "multi30k_fr_en",
        "multi30k_en_cs",
        "multi30k_cs_en",
        "tatoeba_en_fr",
        "tatoeba_fr_en",
    ]
    architecture: str
    model: dict[str, Any] = {}
    variants: dict[str, dict[str, Any]] = {}
    notes: str = ""
    augmentation: Augmentation = Augmentation()
    text: Text = Text()
    subwords: Subwords = Subwords()
    optimizer: Optimizer
    schedule: Schedule = Schedule()
    training: Training

    @pydantic.model_validator(mode="after")
    def _fits(self) -> "Recipe":
        if self.schedule.warmup_epochs > self.training.epochs:
            raise ValueError(
                f"schedule.warmup_epochs ({self.schedule.warmup_epochs}) must not exceed "
                f"training.epochs ({self.training.epochs})"
            )
        if self.augmentation.mixup and self.augmentation.cutmix:
            raise ValueError("augmentation: choose mixup or cutmix, not both")
        if any("num_classes" in settings for settings in (self.model, *self.variants.values())):
            raise ValueError("model.num_classes: the labels of the data set say how many there are")
        sections: dict[str, tuple[Any, str]] = {
            "augmentation": (Augmentation(), "image_classification"),
            "text": (Text(), "text_classification"),
            "subwords": (Subwords(), "translation"),
        }
        for name, (default, task) in sections.items():
            if self.task != task and getattr(self, name) != default:
                raise ValueError(f"{name}: this section is for {task}")
        if self.training.views > 1 and self.task != "image_classification":
            raise ValueError("training.views: this key is for image_classification")
        if self.training.r_drop and self.task != "translation":
            raise ValueError("training.r_drop: this key is for translation")
        return self

    def settings(self, variant: str | None = None) -> dict[str, Any]:
        """The architecture's settings, of a variant if one is named.

        Raises:
            RecipeError: the recipe has no such variant.
        """
        if variant is None:
            return dict(self.model)
        if variant not in self.variants:
            accepted = ", ".join(map(repr, self.variants)) or "none"
            raise RecipeError(f"The recipe has no variant {variant!r}. It has: {accepted}.")
        return {**self.model, **self.variants[variant]}

    @property
    def encoder_settings(self) -> dict[str, Any] | None:
        """The settings of what makes ids of texts; None for images."""
        section = {"text_classification": self.text, "translation": self.subwords}.get(self.task)
        return None if section is None else section.model_dump(exclude={"dropout"})

    @property
    def digest(self) -> str:
        """SHA-256 of what the recipe states, words and seeds left out.

        Defaults are left out too, so that a new key does not make old runs another's.
        """
        content = self.model_dump_json(
            exclude={"description": True, "notes": True, "training": {"seeds"}},
            exclude_defaults=True,
        )
        return hashlib.sha256(content.encode()).hexdigest()


def load_recipe(path: str | os.PathLike[str]) -> Recipe:
    """Read and check a recipe.

    Raises:
        FileNotFoundError: there is no such file.
        RecipeError: the file is not TOML, or a key is unknown, missing or of an impossible
            value; the message names each.
    """
    path = pathlib.Path(path)
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"{path}: not a TOML file: {error}") from error
    try:
        return Recipe.model_validate(values)
    except pydantic.ValidationError as error:
        raise RecipeError(_explained(path, error)) from error


def _explained(path: pathlib.Path, error: pydantic.ValidationError) -> str:
    lines = [f"{path}: {error.error_count()} value(s) cannot be used:"]
    for problem in error.errors():
        *parents, last = problem["loc"] or ("recipe",)
        key = ".".join(map(str, (*parents, last)))
        if problem["type"] == "extra_forbidden":
            section: Any = Recipe
            for name in parents:
                if isinstance(name, int):  # of a list
                    (section,) = typing.get_args(section)
                else:
                    section = section.model_fields[name].annotation
            lines.append(f"  {key}: unknown key. Accepted here: {', '.join(section.model_fields)}.")
        elif problem["type"] == "missing":
            lines.append(f"  {key}: missing.")
        elif problem["type"] == "value_error":
            lines.append(f"  {problem['ctx']['error']}.")
        else:
            lines.append(f"  {key}: {problem['msg']}. Received: {problem['input']!r}.")
    return "\n".join(lines)
