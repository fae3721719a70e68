"""From a recipe to a trained model, by `model.fit`."""

import contextlib
import dataclasses
import functools
import json
import math
import os
import pathlib
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import keras

from keras_attn import datasets
from keras_attn._files import write_text
from keras_attn._memory import naming_lack_of_memory
from keras_attn._wording import counted
from keras_attn.batching import prepare_batches
from keras_attn.recipes import Recipe, recipe_to_toml
from keras_attn.tasks import Task, compile_mode
from keras_attn.tasks.training_data import TrainingData
from keras_attn.training import artifacts, checkpoint, strategies
from keras_attn.training.callbacks import BestWeights, Restore, SaveCheckpoints
from keras_attn.training.checkpoint import Checkpoints, State
from keras_attn.training.folder_lock import check_folder, owning
from keras_attn.training.interruption import StopRequest, handling_signals
from keras_attn.training.learner import Learner, SwapEMAWeights
from keras_attn.training.optimizer import build_optimizer
from keras_attn.training.precision import check_precision, resolve_precision
from keras_attn.training.provenance import provenance
from keras_attn.training.request import Request, check_options, check_recipe, checked_seed
from keras_attn.training.selection import Selection, StopEarly
from keras_attn.training.strategies import Devices
from keras_attn.training.weights_files import non_finite

_SMALLER = "Reduce training.batch_size, or the sizes in [model] of the recipe"


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

    The validation split is evaluated after every epoch, and the test split once, at the end: it
    decides nothing. While the run is in progress it owns its folder, see
    `keras_attn.training.folder_lock`.

    Args:
        recipe: What to train, see `keras_attn.recipes.load_recipe`.
        folder: New or empty folder for the run's files; with several workers one that all see.
        variant: A variant of the recipe to train instead of its model.
        seed: Seed of the run; None is the first of the recipe.
        resume: Resume from the last checkpoint in `folder`; `"auto"` does if there is one, and
            starts afresh if not: for jobs that are restarted automatically. A run that has
            finished is returned as it is. The recipe, the seed, every split of the data, the label
            names and the initial model must be those that the run was started with.
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
        The model with its final weights, and the record of the run. Workers that are not the
        chief return the model as it was last trained, and an empty record.

    Raises:
        FileExistsError: `folder` holds files, and `resume` is false.
        FolderInUseError: Another run in progress owns `folder`.
        CheckpointError: The checkpoints in `folder` are damaged or of another run.
        InterruptedTrainingError: SIGTERM, or Ctrl-C in the command `train`, stopped it; completed
            steps are in a checkpoint.
        WorkerLostError: Another worker is gone.
        OSError: The folder or a file in it could not be written; the last checkpoint is whole.
        MemoryError: There is not enough memory for the model or a batch.
        DatasetNotFoundError: The data set is not on disk.
        RecipeError: The recipe has no such variant, or needs an `initial_model`.
        ValueError: No strategy has that name, the replicas cannot share a batch equally, or
            several workers would choose the precision each.
    """
    check_options(resume, checkpoint_steps)
    seed = recipe.training.seeds[0] if seed is None else checked_seed(seed)
    with handling_signals() as stop:
        distribution = strategies.distribution(strategy, devices)
        folder = pathlib.Path(folder)
        check_folder(folder, new=distribution.chief and not resume)
        check_recipe(recipe, variant, initial_model)
        recipe.check_replicas(distribution.replicas)
        check_precision(recipe.training.precision, distribution.workers)
        request = Request(
            recipe=recipe,
            variant=variant,
            seed=seed,
            folder=folder,
            dataset=datasets.load(recipe.dataset, data_dir) if dataset is None else dataset,
            distribution=distribution,
            initial_model=initial_model,
        )
        if resume and (record := request.finished_record()):
            model = artifacts.load(request.new_model(), folder)
            return Run(model, record if distribution.chief else {}, folder)
        if tensorboard:
            callbacks = [*callbacks, keras.callbacks.TensorBoard(folder / "tensorboard")]
        if resume is True:
            checkpoint.check_exists(folder)
        # Other workers of the job only read the folder.
        with owning(folder) if distribution.chief else contextlib.nullcontext():
            # It may have been taken and left since.
            check_folder(folder, new=distribution.chief and not resume)
            return _train(request, stop, resume, checkpoint_steps, callbacks, verbose)


@dataclasses.dataclass(kw_only=True)
class _Session:
    """A run that is ready to train: the model, its data, and where it stands."""

    request: Request
    learner: Learner
    data: TrainingData
    batches: keras.utils.PyDataset
    checkpoints: Checkpoints
    state: State
    seconds: float = 0.0  # of all segments, once it is trained
    history: list[dict[str, float]] = dataclasses.field(default_factory=list)  # likewise

    @property
    def precision(self) -> str:
        """The dtype policy of the model that is trained."""
        return self.state.precision

    @property
    def selection(self) -> Selection:
        """The order of epochs by their validation metrics."""
        return Selection(self.data.objective)

    @property
    def keeps_best(self) -> bool:
        """Return whether the trained run ends with the weights of its best epoch."""
        keep = self.request.recipe.training.keep
        return keep == "best" and self.selection.best(self.history) is not None


def _train(
    request: Request,
    stop: StopRequest,
    resume: bool | Literal["auto"],
    checkpoint_steps: int | None,
    callbacks: Sequence[keras.callbacks.Callback],
    verbose: int | str,
) -> Run:
    """Train a run that has not finished, in a folder that it owns."""
    checkpoints = Checkpoints(request.folder, request.identity, request.recipe)
    resumes = checkpoints.exist if resume == "auto" else bool(resume)
    if resumes:
        stop.message = ". Run the same command with --resume to continue."
    with naming_lack_of_memory("training", _SMALLER):
        session = _prepare(request, checkpoints, resumes)
        _fit(session, stop, checkpoint_steps, callbacks, verbose)
        stop.check()
        if not request.distribution.chief:
            return Run(session.learner.task, {}, request.folder)
        return _record(session)


def _prepare(request: Request, checkpoints: Checkpoints, resumes: bool) -> _Session:
    """Build, adapt and compile the model, and restore the last checkpoint of a resumed run."""
    state, values = checkpoints.latest() if resumes else (State(), None)
    precision = state.precision or resolve_precision(request.recipe.training.precision)
    state = state.continued({**provenance(), "precision": precision})
    distribution = request.distribution
    keras.utils.set_random_seed(request.seed)
    with strategies.lost_workers_named(distribution), distribution.scope():
        distribution.check_together(state.epoch, state.step)
        with dtype_policy(precision):
            model = request.new_model()
        if request.initial_model is None:
            model.adapt_to_split(request.dataset["train"])
        else:
            model.copy_backbone(request.initial_model)
        data = model.training_data(request.dataset, request.recipe)
        training = request.recipe.training
        batches = data.batches(training.batch_size, request.seed, training.epochs)
        learner = _compiled_learner(request, model, data, batches, precision)
        if values is not None:
            checkpoint.restore(learner, values)
    return _Session(
        request=request,
        learner=learner,
        data=data,
        batches=batches,
        checkpoints=checkpoints,
        state=state,
    )


def _compiled_learner(
    request: Request,
    model: Task,
    data: TrainingData,
    batches: keras.utils.PyDataset,
    precision: str,
) -> Learner:
    """Return the model that `fit` trains, with its optimizer built."""
    training = request.recipe.training
    learner = Learner(model, data.objective, data.augmentations(request.seed), training.ema)
    optimizer = build_optimizer(request.recipe, len(batches) // training.epochs)
    if precision == "mixed_float16":
        # Keras wraps it by the policy of the model that is compiled, and the learner's own
        # is float32, for the sake of the averaged weights.
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    learner.compile(
        optimizer=optimizer,
        loss=data.objective.loss,
        metrics=data.objective.metrics,
        # XLA cannot compile the communication of replicas.
        jit_compile=compile_mode() if request.distribution.replicas == 1 else False,
    )
    learner.optimizer.build(learner.trainable_variables)
    learner.example = batches[0]
    return learner


def _fit(
    session: _Session,
    stop: StopRequest,
    checkpoint_steps: int | None,
    callbacks: Sequence[keras.callbacks.Callback],
    verbose: int | str,
) -> None:
    """Train from where the run stands to its end."""
    learner, state, batches = session.learner, session.state, session.batches
    training, distribution = session.request.recipe.training, session.request.distribution
    steps = len(batches) // training.epochs
    swap_ema = SwapEMAWeights() if training.ema else None
    checkpointing = SaveCheckpoints(
        session.checkpoints if distribution.chief else None,
        state,
        swap_ema.trained_weights if swap_ema else contextlib.nullcontext,
        stop,
        every=checkpoint_steps,
        metrics=distribution.workers == 1,
    )
    # In this order: from the end of an epoch on, those behind `swap_ema` see the averaged weights,
    # and an epoch whose checkpoint is written is done in every respect.
    all_callbacks = [Restore(session.request.seed, state), *([swap_ema] if swap_ema else [])]
    early = StopEarly(session.selection, training.patience, state.history)
    all_callbacks.append(early)
    if distribution.chief:
        all_callbacks += [*session.data.callbacks(), _best_weights(session), *callbacks]
    all_callbacks.append(checkpointing)
    validation = session.data.validation_batches(distribution.replicas)
    # An epoch under way has fewer steps, and is fitted by itself.
    ends = [state.epoch + 1, training.epochs] if state.step else [training.epochs]
    with strategies.lost_workers_named(distribution):
        for end in ends:
            if checkpointing.epoch >= end or early.is_due:
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
                callbacks=all_callbacks,
                verbose=verbose if distribution.chief else 0,
            )
    if swap_ema and not swap_ema.exchanged:
        learner.exchange()
    session.seconds, session.history = checkpointing.seconds, checkpointing.history
    if distribution.chief:
        best = session.selection.best(session.history)
        artifacts.finish_best_weights(session.request.folder, best)
        if session.keeps_best:
            artifacts.load_best(learner.task, session.request.folder)


def _record(session: _Session) -> Run:
    """Finalize and save the trained model, evaluate it, and write `record.json`."""
    request, data, model = session.request, session.data, session.learner.task
    recipe, folder = request.recipe, request.folder
    if request.distribution.strategy is not None or session.precision != "float32":
        # Saved models compute in float32, on one device, wherever they are loaded; their figures
        # must be of that.
        model = artifacts.copy_into(request.new_model(), model, folder)
    finalized = model.finalize(data)
    digests = artifacts.save(model, folder)
    if names := non_finite(folder / artifacts.WEIGHTS_FILE):
        warnings.warn(
            f"Training has diverged: {counted(len(names), 'array')} of the weights "
            f"{'holds' if len(names) == 1 else 'hold'} NaN or infinity. Train again at a lower "
            "learning rate.",
            stacklevel=3,
        )
    cost = data.cost()
    epochs = len(session.history)
    seen = data.examples_per_epoch(recipe.training.batch_size) * epochs
    record = {
        "variant": request.variant or "",
        "seed": request.seed,
        "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "recipe_digest": recipe.digest,
        "epochs": epochs,
        "train_seconds": round(session.seconds, 1),
        "parameters": cost.parameters,
        "forward_flops": cost.flops,
        "train_flops": 3 * cost.flops * seen,  # a forward pass, and twice that backward
        **finalized,
        "metrics": {
            name: model.evaluate_split(request.dataset[name], **recipe.evaluation)
            for name in request.evaluated_splits
        },
        **digests,
        "data": {"name": request.dataset.name, **request.identity.data_record},
        "strategy": request.distribution.summary,
        "precision": session.precision,
        **provenance(),
        "earlier_pieces": session.state.segments[:-1],
        "history": _curves(session.history),
    }
    if request.initial_model is not None:
        record["initial"] = {
            "entry": recipe.initial_entry,
            "weights_sha256": request.identity.initial,
        }
    if session.keeps_best:
        record["best_epoch"] = session.selection.best(session.history)
    write_text(folder / checkpoint.RECIPE_FILE, recipe_to_toml(recipe))
    write_text(folder / "record.json", json.dumps(record, indent=2))
    return Run(model, record, folder)


def _curves(history: Sequence[Mapping[str, float]]) -> dict[str, list[float | None]]:
    """Return the metrics of every epoch as lists by name, with six significant digits.

    None stands for a metric that an epoch did not measure, and for values that are not finite.
    """
    names = dict.fromkeys(name for epoch in history for name in epoch)

    def value(epoch: Mapping[str, float], name: str) -> float | None:
        number = float(epoch.get(name, math.nan))
        return float(f"{number:.6g}") if math.isfinite(number) else None

    return {name: [value(epoch, name) for epoch in history] for name in names}


def _best_weights(session: _Session) -> BestWeights:
    model = session.learner.task
    return BestWeights(
        session.request.folder,
        model,
        functools.cache(lambda: artifacts.without_optimizer(model)),
        session.selection,
        session.state.history,
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
