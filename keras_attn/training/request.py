"""Requests for training runs, and the checks before anything is read or written."""

import dataclasses
import functools
import numbers
import pathlib
from typing import Any

from keras_attn import datasets, models
from keras_attn.recipes import Recipe, RecipeError, describe_task
from keras_attn.tasks import Task, from_architecture
from keras_attn.training import artifacts
from keras_attn.training.identity import Identity
from keras_attn.training.strategies import Distribution


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
    """Model, folder, data and distribution of a run that is requested."""

    recipe: Recipe
    variant: str | None
    seed: int
    folder: pathlib.Path
    dataset: datasets.Dataset[Any]
    distribution: Distribution
    initial_model: Task | None

    @functools.cached_property
    def identity(self) -> Identity:
        """Identity that the checkpoints of this run must have."""
        initial = self.initial_model
        return Identity(
            digest=self.recipe.digest,
            variant=self.variant or "",
            seed=self.seed,
            data=self.dataset["train"].fingerprint,
            splits={name: self.dataset[name].fingerprint for name in self.evaluated_splits},
            label_names=list(self.dataset.label_names),
            initial="" if initial is None else artifacts.weights_digest(initial),
        )

    @property
    def evaluated_splits(self) -> list[str]:
        """The names of the splits that the run is evaluated on."""
        return [name for name in self.dataset if name == "validation" or name.startswith("test")]

    def new_model(self) -> Task:
        """Return the recipe's model with fresh weights, for the labels of the data set."""
        model = from_architecture(
            self.recipe.architecture,
            self.dataset.label_names,
            preprocessing=self.recipe.preprocessing,
            multi_label=self.dataset.multi_label,
            **self.recipe.settings(self.variant),
        )
        model.use_dataset_info(self.dataset)
        return model

    def finished_record(self) -> dict[str, Any] | None:
        """Return the record of this run, if it has finished."""
        assets = describe_task(self.recipe.task).model_class().asset_files
        return artifacts.finished_record(self.folder, self.identity, assets)


def check_options(resume: Any, checkpoint_steps: Any) -> None:
    """Raise ValueError for other values of `resume` and `checkpoint_steps` than `train` takes."""
    if resume not in (True, False, "auto"):
        raise ValueError(f"`resume` must be True, False or 'auto'. Received: {resume!r}.")
    if checkpoint_steps is not None and (
        not isinstance(checkpoint_steps, int) or checkpoint_steps < 1
    ):
        raise ValueError(
            "`checkpoint_steps` must be a positive number of steps, or None for epochs alone. "
            f"Received: {checkpoint_steps!r}."
        )


def checked_seed(seed: Any) -> int:
    """Return a seed as an `int`, or raise ValueError."""
    is_integer = isinstance(seed, numbers.Integral) and not isinstance(seed, bool)
    if not is_integer or not 0 <= int(seed) < 2**32:
        raise ValueError(
            f"`seed` must be an integer of at least 0 and below 2**32. Received: {seed!r}."
        )
    return int(seed)


def check_recipe(recipe: Recipe, variant: str | None, initial_model: Task | None) -> None:
    """Raise, before anything is read or written, if the model cannot be built."""
    for name in {None, variant, *recipe.variants}:
        try:
            models.configure(recipe.architecture, **recipe.settings(name))
        except ValueError as error:
            where = "[model]" if name is None else f"[variants.{name}]"
            raise RecipeError(f"The recipe's {where}: {error}") from error
    if recipe.initial_entry and initial_model is None:
        raise RecipeError(
            f"The recipe starts from the trained backbone of {recipe.initial_entry!r}. Pass "
            f"initial_model=keras_attn.build({recipe.initial_entry!r}), or use `keras-attn train`."
        )
