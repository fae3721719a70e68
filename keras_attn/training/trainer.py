"""From a recipe to a trained model, by `model.fit`."""

import contextlib
import dataclasses
import functools
import json
import os
import pathlib
import time
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import keras

from keras_attn import datasets, models
from keras_attn.batching import prepare_batches
from keras_attn.recipes import Recipe, RecipeError, describe_task
from keras_attn.tasks import Task, compile_mode, from_architecture
from keras_attn.tasks.training_data import Objective, TrainingData
from keras_attn.training import artifacts, checkpoint, strategies
from keras_attn.training.callbacks import BestWeights, Restore, SaveCheckpoints, handling_sigterm
from keras_attn.training.checkpoint import Checkpoints, Identity, State
from keras_attn.training.learner import EvaluateAverages, Learner
from keras_attn.training.optimizer import build_optimizer
from keras_attn.training.provenance import provenance
from keras_attn.training.strategies import Devices, Distribution


@dataclasses.dataclass(frozen=True)
class Run:
    """A finished training run.

    Attributes:
        model: The trained model, which computes in float32 whatever it was trained in.
        record: Seed, code, machine, cost and metrics, as `record.json` holds them.
        folder: Where weights, logs and `record.json` are.
    """

    model: Task
    record: dict[str, Any]
    folder: pathlib.Path


def train(
    recipe: Recipe,
    folder: str | os.PathLike[str],
    *,
    variant: str | None = None,
    seed: int | None = None,
    resume: bool | Literal["auto"] = False,
    data_dir: str | os.PathLike[str] | None = None,
    dataset: datasets.Dataset[Any] | None = None,
    initial_model: Task | None = None,
    strategy: str | Any = "none",
    devices: Devices = None,
    checkpoint_steps: int | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    tensorboard: bool = False,
    verbose: int | str = "auto",
) -> Run:
    """Train a recipe's model with checkpoints, and evaluate it.

    The validation split is evaluated after every epoch; the test split is read once, at the end,
    and decides nothing.

    Args:
        recipe: What to train, see `keras_attn.recipes.load_recipe`.
        folder: New or empty folder for the run's files; with several workers one that all see.
        variant: A variant of the recipe to train instead of its model.
        seed: Seed of the run; None is the first of the recipe.
        resume: Resume from the last checkpoint in `folder`; `"auto"` does if there is one, and
            starts afresh if not: for jobs that are restarted automatically. A run that has
            finished is returned as it is.
        data_dir: See `keras_attn.datasets.load`.
        dataset: Use this data set in place of the recipe's.
        initial_model: A trained model of the same architecture whose preprocessing and backbone
            the run starts from, see `keras_attn.zoo.build`; for recipes with `initial_entry`.
        strategy: `"none"`, `"one_device"`, `"mirrored"`, `"multi_worker"`, or a
            `tf.distribute.Strategy`, see `keras_attn.training.strategies.distribution`. The
            recipe's batch size is that of all replicas together, and its learning rate stays.
        devices: Which devices, or how many, in place of all.
        checkpoint_steps: Also write a checkpoint after so many steps within an epoch.
        callbacks: Further callbacks of `fit`. They see the averaged weights at the end of an
            epoch; what they add to its logs is logged. With several workers, of the chief alone.
        tensorboard: Also write TensorBoard logs, under `folder/tensorboard`.
        verbose: See `keras.Model.fit`.

    Returns:
        The model with its final weights, and the record of the run; for workers that are not
        the chief an empty record.

    Raises:
        FileExistsError: `folder` holds files, and `resume` is false.
        CheckpointError: The checkpoints in `folder` are damaged or of another run.
        InterruptedTrainingError: SIGTERM stopped it, after a checkpoint.
        WorkerLostError: Another worker is gone.
        OSError: A checkpoint could not be written; the one before is whole.
        DatasetNotFoundError: The data set is not on disk.
        RecipeError: The recipe has no such variant, or needs an `initial_model`.
        ValueError: No strategy has that name, or the replicas cannot share a batch equally.
    """
    _check_options(resume, checkpoint_steps)
    distribution = strategies.distribution(strategy, devices)
    folder = pathlib.Path(folder)
    _check_folder(folder, resume, distribution)
    seed = recipe.training.seeds[0] if seed is None else seed
    _check_recipe(recipe, variant, initial_model)
    recipe.check_replicas(distribution.replicas)
    dataset = datasets.load(recipe.dataset, data_dir) if dataset is None else dataset
    identity = Identity(recipe.digest, variant or "", seed, dataset["train"].fingerprint)
    new_model = functools.partial(_new_model, recipe, variant, dataset)
    assets = describe_task(recipe.task).model_class().asset_files
    if resume and (record := artifacts.finished_record(folder, identity, assets)):
        model = artifacts.load(new_model(), folder)
        return Run(model, record if distribution.chief else {}, folder)

    checkpoints = Checkpoints(folder, identity)
    resumes = checkpoints.exist if resume == "auto" else resume
    state, values = checkpoints.latest() if resumes else (State(), None)
    state = state.continued(provenance())
    keras.utils.set_random_seed(seed)
    with strategies.lost_workers_named(distribution), distribution.scope():
        distribution.check_together(state.epoch, state.step)
        learner, data, batches = _prepare(
            recipe, new_model, dataset, initial_model, seed, distribution
        )
        if values is not None:
            checkpoint.restore(learner, values)
    if tensorboard:
        callbacks = [*callbacks, keras.callbacks.TensorBoard(folder / "tensorboard")]
    seconds = _fit(
        learner, data, batches, recipe, seed, folder, distribution, state,
        checkpoints=checkpoints, checkpoint_steps=checkpoint_steps, callbacks=callbacks,
        verbose=verbose,
    )  # fmt: skip
    model = learner.task
    if not distribution.chief:
        return Run(model, {}, folder)
    if distribution.strategy is not None or recipe.training.precision != "float32":
        # Saved models compute in float32, on one device, wherever they are loaded; their figures
        # must be of that.
        model = artifacts.copy_into(new_model(), model, folder)
    record = _record(
        model, data, dataset, recipe, identity, state, distribution, seconds, initial_model, folder
    )
    return Run(model, record, folder)


def _prepare(
    recipe: Recipe,
    new_model: "functools.partial[Task]",
    dataset: datasets.Dataset[Any],
    initial_model: Task | None,
    seed: int,
    distribution: Distribution,
) -> tuple[Learner, TrainingData, keras.utils.PyDataset]:
    """Return the model to fit, adapted and compiled, its data, and the batches of all epochs."""
    training = recipe.training
    with dtype_policy(training.precision):
        model = new_model()
    if initial_model is None:
        train = dataset["train"]
        model.adapt(train.inputs, train.targets)
    else:
        model.copy_backbone(initial_model)
    data = model.training_data(dataset, recipe)
    batches = data.batches(training.batch_size, seed, training.epochs)
    learner = Learner(model, data.objective, data.augmentations(seed), training.ema)
    optimizer = build_optimizer(recipe, len(batches) // training.epochs)
    if training.precision == "mixed_float16":
        # Keras wraps it by the policy of the model that is compiled, and the learner's own
        # is float32, for the averages' sake.
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    learner.compile(
        optimizer=optimizer,
        loss=data.objective.loss,
        metrics=[data.objective.metric],
        # XLA cannot compile the communication of replicas.
        jit_compile=compile_mode() if distribution.replicas == 1 else False,
    )
    learner.optimizer.build(learner.trainable_variables)
    learner.example = batches[0]
    return learner, data, batches


def _fit(
    learner: Learner,
    data: TrainingData,
    batches: keras.utils.PyDataset,
    recipe: Recipe,
    seed: int,
    folder: pathlib.Path,
    distribution: Distribution,
    state: State,
    *,
    checkpoints: Checkpoints,
    checkpoint_steps: int | None,
    callbacks: Sequence[keras.callbacks.Callback],
    verbose: int | str,
) -> float:
    """Train from where the run stands to its end; return the seconds of all its segments."""
    chief, epochs = distribution.chief, recipe.training.epochs
    steps = len(batches) // epochs
    if chief:
        folder.mkdir(parents=True, exist_ok=True)
    averages = EvaluateAverages() if recipe.training.ema else None
    checkpointing = SaveCheckpoints(
        checkpoints if chief else None,
        state,
        averages.trained_weights if averages else contextlib.nullcontext,
        every=checkpoint_steps,
        metrics=distribution.workers == 1,
    )
    every_worker = [Restore(seed, state), *([averages] if averages else [])]
    best_weights = _best_weights(learner.task, data.objective, folder, state)
    of_chief = [*data.callbacks(), best_weights, *callbacks]
    validation = data.validation_batches(distribution.replicas)
    # An epoch under way has fewer steps, and is fitted by itself.
    ends = [state.epoch + 1, epochs] if state.step else [epochs]
    with handling_sigterm(checkpointing), strategies.lost_workers_named(distribution):
        for end in ends:
            if checkpointing.epoch >= end:
                continue
            start = checkpointing.epoch * steps + checkpointing.step
            learner.fit(
                prepare_batches(batches, start=start, strategy=distribution.strategy),
                epochs=end,
                initial_epoch=checkpointing.epoch,
                steps_per_epoch=steps - checkpointing.step,
                shuffle=False,  # the batches are shuffled already
                validation_data=prepare_batches(validation, strategy=distribution.strategy),
                validation_steps=len(validation),
                callbacks=[*every_worker, *(of_chief if chief else []), checkpointing],
                verbose=verbose if chief else 0,
            )
    if averages and not averages.exchanged:
        learner.exchange()
    return checkpointing.seconds


def _record(
    model: Task,
    data: TrainingData,
    dataset: datasets.Dataset[Any],
    recipe: Recipe,
    identity: Identity,
    state: State,
    distribution: Distribution,
    seconds: float,
    initial_model: Task | None,
    folder: pathlib.Path,
) -> dict[str, Any]:
    """Finalize and save the model, evaluate it, and write `record.json`."""
    finalized = model.finalize(data)
    digests = artifacts.save(model, folder)
    cost = data.cost()
    seen = data.examples_per_epoch(recipe.training.batch_size) * recipe.training.epochs
    record = {
        "variant": identity.variant,
        "seed": identity.seed,
        "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "recipe_digest": recipe.digest,
        "epochs": recipe.training.epochs,
        "train_seconds": round(seconds, 1),
        "parameters": cost.parameters,
        "forward_flops": cost.flops,
        "train_flops": 3 * cost.flops * seen,  # a forward pass, and twice that backward
        **finalized,
        "metrics": {
            name: model.evaluate_split(dataset[name], **recipe.evaluation)
            for name in dataset
            if name == "validation" or name.startswith("test")
        },
        **digests,
        "data": {"name": dataset.name, "train_sha256": identity.data},
        "strategy": distribution.summary,
        **provenance(),
        "earlier_pieces": state.segments[:-1],
    }
    if initial_model is not None:
        record["initial"] = {
            "entry": recipe.initial_entry,
            "weights": artifacts.weights_digest(initial_model),
        }
    checkpoint.write_text(folder / "record.json", json.dumps(record, indent=2))
    return record


def _new_model(recipe: Recipe, variant: str | None, dataset: datasets.Dataset[Any]) -> Task:
    """Return the recipe's model with fresh weights, for the labels of a data set."""
    return from_architecture(
        recipe.architecture,
        dataset.label_names,
        preprocessing=recipe.preprocessing,
        **recipe.settings(variant),
    )


def _best_weights(
    model: Task, objective: Objective, folder: pathlib.Path, state: State
) -> BestWeights:
    return BestWeights(
        folder / "best.weights.h5",
        model,
        functools.cache(lambda: artifacts.without_optimizer(model)),
        monitor=f"val_{objective.metric.name}",
        greater_is_better=objective.greater_is_better,
        history=state.history,
    )


@contextlib.contextmanager
def dtype_policy(name: str) -> Iterator[None]:
    """Make `name` the policy of the layers that are built inside the block."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _check_options(resume: Any, checkpoint_steps: Any) -> None:
    if resume not in (True, False, "auto"):
        raise ValueError(f"`resume` must be True, False or 'auto'. Received: {resume!r}.")
    if checkpoint_steps is not None and (
        not isinstance(checkpoint_steps, int) or checkpoint_steps < 1
    ):
        raise ValueError(
            "`checkpoint_steps` must be a positive number of steps, or None for epochs alone. "
            f"Received: {checkpoint_steps!r}."
        )


def _check_folder(folder: pathlib.Path, resume: Any, distribution: Distribution) -> None:
    if distribution.chief and not resume and folder.exists() and any(folder.iterdir()):
        raise FileExistsError(
            f"The run's folder {str(folder)!r} is not empty. Pass --resume to resume the run in "
            "it, or choose another folder."
        )


def _check_recipe(recipe: Recipe, variant: str | None, initial_model: Task | None) -> None:
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
