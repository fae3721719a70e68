"""The recipe of a training run: model, data, optimizer, schedule and length."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, Self

import pydantic
import pydantic_core
from pydantic import Field

from keras_attn import datasets
from keras_attn._names import unknown

NonNegative = Annotated[float, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
Count = Annotated[int, Field(ge=1)]


# What does not change a run; its seed is recorded by itself.
NOT_SETTINGS: Any = {"description": True, "notes": True, "training": {"seeds"}}


class RecipeError(ValueError):
    """A recipe cannot be used; the message names the file, the key and the remedy.

    Args:
        message: The message.
        problems: What is wrong with each key, if the recipe was validated: pairs of the key with
            its sections, "" for several at once, and a sentence without its subject.
    """

    def __init__(self, message: str, problems: Sequence[tuple[str, str]] = ()) -> None:
        super().__init__(message)
        self.problems = tuple(problems)


class Section(pydantic.BaseModel):
    """Base class of the sections of a recipe. Frozen and strict; rejects unknown keys."""

    model_config = pydantic.ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False
    )


class Group(Section):
    """A parameter group of Muon, see `keras_attn.optimizers.ParameterGroup`.

    Attributes:
        match: Regular expression that is searched for in the paths of variables. A group without
            it is for all variables that are not matrices and match no other group.
        name: Update rule.
        learning_rate: Learning rate, which follows the schedule of the optimizer.
        momentum, beta_2, weight_decay: As for `Optimizer`; the decay applies to all variables of
            the group.
    """

    match: str = ""
    name: Literal["muon", "sgd", "adamw"] = "adamw"
    learning_rate: Positive
    momentum: Fraction = 0.9
    beta_2: Fraction = 0.999
    weight_decay: NonNegative = 0.0

    @pydantic.model_validator(mode="after")
    def _check_group(self) -> "Group":
        try:
            re.compile(self.match)
        except re.error as error:
            raise ValueError(f"match: {self.match!r} is no regular expression: {error}") from error
        if self.name == "muon" and not self.match:
            raise ValueError("match: a group of 'muon' must say which matrices it is for")
        _check_beta_2(self, "optimizer.groups.beta_2")
        return self


class Optimizer(Section):
    """The optimizer.

    Attributes:
        name: Name of the optimizer.
        learning_rate: The full learning rate, which the schedule scales.
        momentum: Momentum; for AdamW, its `beta_1`.
        beta_2: `beta_2` of AdamW.
        weight_decay: Decoupled weight decay: a step multiplies weights by `1 - rate * decay`. For
            Muon it applies to matrices alone; for a group, to all of its variables; for other
            optimizers, to all variables except biases and the scales and offsets of
            normalizations.
        iterations: Newton-Schulz iterations per step of Muon.
        update_rms: Root mean square of a step of Muon at learning rate 1, or None.
        normalize: Regular expression of the matrices that Muon normalizes before each step, or
            None, see `keras_attn.optimizers.Muon`.
        groups: Parameter groups of Muon.
    """

    name: Literal["sgd", "adamw", "muon"]
    learning_rate: Positive
    momentum: Fraction = 0.9
    beta_2: Fraction = 0.999
    weight_decay: NonNegative = 0.0
    iterations: Count = 5
    update_rms: Positive | None = None
    normalize: str | None = None
    groups: list[Group] = []

    @pydantic.model_validator(mode="after")
    def _check_optimizer(self) -> "Optimizer":
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


class Schedule(Section):
    """The learning rate over training: a linear warm-up, then a decay.

    Attributes:
        warmup_epochs: Length of the linear warm-up from 0; may be a fraction of an epoch.
        decay: Shape of the decay.
        final_fraction: Learning rate after the last step, as a fraction of the full rate.
    """

    warmup_epochs: NonNegative = 0.0
    decay: Literal["linear", "cosine", "inverse_sqrt", "constant"] = "cosine"
    final_fraction: Fraction = 0.0


class Training(Section):
    """Length of training, batch size, regularization and precision. A task may add keys.

    Attributes:
        epochs: Passes over the training split.
        batch_size: Examples per step, over all replicas. For translation, tokens per step,
            counted on the longer side of each pair.
        label_smoothing: Share of the target probability that is distributed over all classes.
        ema: Decay per step of the exponential moving average of the weights, or 0 for none.
            The averaged weights are evaluated and saved.
        precision: A Keras dtype policy; or `"auto"`, `"mixed_bfloat16"` where the hardware
            computes faster in bfloat16, which is measured when a run starts.
        keep: The epoch whose weights a run ends with: the last one, or the best one by the
            metric of the validation split, and by its loss where the metric is equal.
        patience: Number of epochs without improvement, in the same order, after which training
            stops before `epochs`; None trains all epochs.
        seeds: The seeds of the published runs.
    """

    epochs: Count
    batch_size: Count
    label_smoothing: Fraction = 0.0
    ema: Fraction = 0.0
    precision: Literal["auto", "float32", "mixed_bfloat16", "mixed_float16"] = "float32"
    keep: Literal["last", "best"] = "last"
    patience: Count | None = None
    seeds: Annotated[list[Annotated[int, Field(ge=0, lt=2**32)]], Field(min_length=1)] = [0]


WITHOUT_ATTENTION = "no_attention"  # by convention, the name of the baseline variant

# The order in which `digest` writes keys. Recorded runs are matched to recipes by the digest, so
# this order must not change.
_KEYS_BEFORE_SECTIONS = ("task", "dataset", "architecture", "model", "variants")
_KEYS_AFTER_SECTIONS = ("optimizer", "schedule", "training")
_TRAINING_KEYS = ("epochs", "batch_size", "label_smoothing", "ema", "r_drop", "views", "precision")


class Recipe(Section):
    """A model, its data and its training.

    A task whose recipes have further sections subclasses this, see
    `keras_attn.recipes.TaskDescription`.

    Attributes:
        task: Name of a registered task, see `keras_attn.recipes.list_tasks`.
        description: One line, for lists.
        dataset: Name of a registered data set, see `keras_attn.datasets.list_datasets`.
        architecture: Name of a registered architecture, see
            `keras_attn.models.list_architectures`.
        model: Settings of the architecture; validated when the model is built.
        variants: Changes to `model` by name, each trained for comparison.
        notes: Notes for readers of the card, in Markdown.
        initial_entry: Entry of the zoo whose trained backbone initializes the model.
        former_settings: For each section and key whose default is not what the library did before
            the key existed: what it did.
    """

    former_settings: ClassVar[Mapping[tuple[str, str], Any]] = {}

    task: str
    description: str
    dataset: str
    architecture: str
    model: dict[str, Any] = {}
    variants: dict[str, dict[str, Any]] = {}
    notes: str = ""
    initial_entry: str | None = None
    optimizer: Optimizer
    schedule: Schedule = Schedule()
    training: Training

    @pydantic.model_validator(mode="after")
    def _check_fit(self) -> Self:
        if self.schedule.warmup_epochs > self.training.epochs:
            raise ValueError(
                f"schedule.warmup_epochs ({self.schedule.warmup_epochs}) must not exceed "
                f"training.epochs ({self.training.epochs})"
            )
        if any("num_classes" in settings for settings in (self.model, *self.variants.values())):
            raise ValueError(
                "model.num_classes: the labels of the data set determine it; remove this key"
            )
        known = datasets.list_datasets()
        if self.dataset not in known:
            raise ValueError(f"dataset: {unknown('data set', self.dataset, known)[:-1]}")
        return self

    def settings(self, variant: str | None = None) -> dict[str, Any]:
        """Return the settings of the architecture, for a variant or for the model itself.

        Raises:
            RecipeError: The recipe has no such variant.
        """
        if variant is None:
            return dict(self.model)
        if variant not in self.variants:
            accepted = ", ".join(map(repr, self.variants)) or "none"
            raise RecipeError(f"The recipe has no variant {variant!r}. It has: {accepted}.")
        return {**self.model, **self.variants[variant]}

    @property
    def preprocessing(self) -> dict[str, Any]:
        """Settings of the task's preprocessing, for `Task.from_architecture`."""
        return {}

    @property
    def fresh_preprocessing(self) -> dict[str, Any]:
        """Settings of the preprocessing of a model with fresh weights, for a user's own data."""
        return self.preprocessing

    @property
    def evaluation(self) -> dict[str, Any]:
        """Further arguments of the task's `evaluate_split`."""
        return {}

    @property
    def primary_evaluation(self) -> dict[str, Any]:
        """The arguments in `evaluation` that the primary metric depends on."""
        return self.evaluation

    def check_replicas(self, replicas: int) -> None:
        """Raise unless a batch can be divided equally among the replicas.

        Raises:
            ValueError: The batch size is not a multiple of `replicas`.
        """
        size = self.training.batch_size
        if size % replicas:
            fitting = size - size % replicas or replicas
            raise ValueError(
                f"A batch of {size} cannot be divided equally among {replicas} replicas. It is the "
                "batch of all replicas together, which does not depend on their number. Use "
                f"another number of devices, or a recipe with batch_size = {fitting}."
            )

    @property
    def digest(self) -> str:
        """SHA-256 of the settings of the recipe, without description, notes and seeds.

        Settings that equal their defaults are left out, so that runs recorded before a key
        existed still match. For a key in `former_settings` it is the former setting instead.
        """
        values = self.model_dump(
            exclude=NOT_SETTINGS,
            exclude_defaults=True,
        )
        for (section, key), former in self.former_settings.items():
            settings = values.pop(section, {})
            settings.pop(key, None)
            if (setting := getattr(getattr(self, section), key)) != former:
                settings[key] = setting
            if settings:
                values[section] = settings
        sections = [
            key for key in values if key not in (*_KEYS_BEFORE_SECTIONS, *_KEYS_AFTER_SECTIONS)
        ]
        order = [*_KEYS_BEFORE_SECTIONS, *sections, *_KEYS_AFTER_SECTIONS]
        content = {key: values[key] for key in order if key in values}
        training = content["training"]
        keys = [*_TRAINING_KEYS, *(key for key in training if key not in _TRAINING_KEYS)]
        content["training"] = {key: training[key] for key in keys if key in training}
        return hashlib.sha256(pydantic_core.to_json(content)).hexdigest()
