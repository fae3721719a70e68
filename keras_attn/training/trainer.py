"""From a recipe to a trained model, by `model.fit`."""

import contextlib
import dataclasses
import functools
import json
import os
import pathlib
import time
from collections.abc import Iterator
from typing import Any, Literal

import keras

from keras_attn import batching, datasets, models
from keras_attn.profiling import Cost
from keras_attn.recipes.recipe import Recipe, RecipeError
from keras_attn.tasks import ImageClassifier, compile_mode, from_architecture
from keras_attn.training import checkpoint, examples, strategies
from keras_attn.training.checkpoint import (
    VOCABULARY_FILE,
    WEIGHTS_FILE,
    Checkpoints,
    Identity,
    State,
)
from keras_attn.training.examples import Classifier, Examples, evaluate
from keras_attn.training.keeping import BestWeights, Keeper, Restore, listening
from keras_attn.training.learner import EvaluateAverages, Learner, augmentations
from keras_attn.training.optimizer import build_optimizer
from keras_attn.training.provenance import provenance
from keras_attn.training.strategies import Devices, Distribution, distribution


@dataclasses.dataclass(frozen=True)
class Run:
    """A finished training run.

    Attributes:
        classifier: the trained classifier, which computes in float32 whatever it was trained in.
        record: what is written of it: seed, code, machine, cost, metrics.
        folder: where weights, logs and `record.json` lie.
    """

    classifier: Classifier
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
    strategy: str | Any = "none",
    devices: Devices = None,
    checkpoint_steps: int | None = None,
    tensorboard: bool = False,
    verbose: int | str = "auto",
) -> Run:
    """Train a recipe's model, keeping checkpoints, and evaluate it.

    The validation split is looked at after every epoch; the test split is read once, at
    the end, and decides nothing.

    Args:
        recipe: what to train, see `load_recipe`.
        folder: new or empty folder for the run's files; with several workers one that all see.
        variant: a variant of the recipe to train instead of its model.
        seed: seed of the run; None is the first of the recipe.
        resume: go on from the last checkpoint in `folder`; `"auto"` does if there is one, and
            starts afresh if not: for jobs that are started again by themselves.
        data_dir: see `keras_attn.datasets.load`.
        dataset: use this data set in place of the recipe's.
        strategy: `"none"`, `"one_device"`, `"mirrored"`, `"multi_worker"`, or a
            `tf.distribute.Strategy`, see `keras_attn.training.strategies.distribution`. The
            recipe's batch size is that of all replicas together, and its learning rate stays.
        devices: which devices, or how many, in place of all.
        checkpoint_steps: also write a checkpoint after so many steps within an epoch.
        tensorboard: also write TensorBoard logs, under `folder/tensorboard`.
        verbose: see `keras.Model.fit`.

    Returns:
        The classifier with its final weights, and the record of the run; of workers that are
        not the chief an empty record. A finished run that is to go on is given back as it is,
        and nothing is trained, measured or written.

    Raises:
        FileExistsError: `folder` holds files, and `resume` is false.
        CheckpointError: the checkpoints in `folder` are damaged or of another run.
        InterruptedTrainingError: SIGTERM stopped it, after a checkpoint.
        WorkerLostError: another worker is gone.
        OSError: a checkpoint could not be written; the one before is whole.
        DatasetNotFoundError: the data set is not on disk.
        RecipeError: the recipe has no such variant.
        ValueError: no strategy has that name, or the replicas cannot share a batch equally.
    """
    _check_going_on(resume, checkpoint_steps)
    spread = distribution(strategy, devices)
    folder = pathlib.Path(folder)
    if spread.chief and not resume and folder.exists() and any(folder.iterdir()):
        raise FileExistsError(
            f"The run's folder {str(folder)!r} is not empty. Give --resume to go on with the run "
            "in it, or another folder."
        )
    seed = recipe.training.seeds[0] if seed is None else seed
    _check_settings(recipe, variant)
    _check_sharing(recipe, spread)
    settings = recipe.training
    dataset = datasets.load(recipe.dataset, data_dir) if dataset is None else dataset
    identity = Identity(recipe.digest, variant or "", seed, dataset["train"].fingerprint)
    if resume and (record := _finished(folder, identity)):
        classifier = _loaded(_new(dataset, recipe, variant), folder)
        return Run(classifier, record if spread.chief else {}, folder)
    checkpoints = Checkpoints(folder, identity)
    found = checkpoints.found if resume == "auto" else resume
    state, values = checkpoints.latest() if found else (State(), None)
    origin = provenance()
    state = state.continued(origin)

    keras.utils.set_random_seed(seed)
    with strategies.lost_workers_named(spread), spread.scope():
        spread.check_together(state.epoch, state.step)
        with dtype_policy(settings.precision):
            classifier = _new(dataset, recipe, variant)
        read = examples.read(classifier, dataset, recipe)
        batches = read.batches(settings.batch_size, seed, settings.epochs)
        steps = len(batches) // settings.epochs
        learner = _compiled(classifier, read, recipe, seed, steps, spread)
        learner.optimizer.build(learner.trainable_variables)
        if values is not None:
            checkpoint.restore(learner, values)
    if spread.chief:
        folder.mkdir(parents=True, exist_ok=True)
    averages = EvaluateAverages() if settings.ema else None
    keeper = Keeper(
        checkpoints if spread.chief else None,
        state,
        averages.holding_weights if averages else contextlib.nullcontext,
        every=checkpoint_steps,
        metrics=spread.workers == 1,
    )
    callbacks: list[keras.callbacks.Callback] = [Restore(seed, state)]
    callbacks += [averages] if averages else []
    if spread.chief:
        callbacks += _tellers(folder, classifier, read, state, tensorboard)
    verbose = verbose if spread.chief else 0
    _fit(learner, read, batches, steps, spread, keeper, callbacks, verbose)
    if averages and not averages.exchanged:
        learner.exchange()
    if not spread.chief:
        return Run(classifier, {}, folder)
    if spread.strategy is not None or settings.precision != "float32":
        # What is kept computes in float32, on one device, wherever it is loaded; let its figures
        # be of that.
        classifier = _alike(classifier, _new(dataset, recipe, variant), folder)
    finished = read.finish(classifier)
    digests = save(classifier, folder)
    record = {
        "variant": variant or "",
        "seed": seed,
        "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "recipe_digest": recipe.digest,
        "epochs": settings.epochs,
        "train_seconds": round(keeper.seconds, 1),
        **_cost(read.cost(classifier.network), read.seen(settings.batch_size) * settings.epochs),
        **finished,
        "metrics": {
            name: evaluate(classifier, dataset[name], settings.views)
            for name in dataset
            if name == "validation" or name.startswith("test")
        },
        **digests,
        "data": {"name": dataset.name, "train_sha256": identity.data},
        "strategy": spread.told,
        **origin,
        "earlier_pieces": state.pieces[:-1],
    }
    checkpoint.write_text(folder / "record.json", json.dumps(record, indent=2))
    return Run(classifier, record, folder)


def _fit(
    learner: Learner,
    read: Examples,
    batches: keras.utils.PyDataset,
    steps: int,
    spread: Distribution,
    keeper: Keeper,
    callbacks: list[keras.callbacks.Callback],
    verbose: int | str,
) -> None:
    """Train from where the run stands to its end."""
    learner.example = batches[0]
    held_out = read.held_out_batches(spread.replicas)
    # An epoch that is under way has fewer steps, and is fitted by itself.
    pieces = [keeper.epoch + 1] if keeper.step else []
    with listening(keeper), strategies.lost_workers_named(spread):
        for epochs in [*pieces, len(batches) // steps]:
            if keeper.epoch >= epochs:
                continue
            start = keeper.epoch * steps + keeper.step
            learner.fit(
                batching.batches_for_fit(batches, start=start, strategy=spread.strategy),
                epochs=epochs,
                initial_epoch=keeper.epoch,
                steps_per_epoch=steps - keeper.step,
                shuffle=False,  # the batches are shuffled already
                validation_data=batching.batches_for_fit(held_out, strategy=spread.strategy),
                validation_steps=len(held_out),
                callbacks=[*callbacks, keeper],
                verbose=verbose,
            )


def save(classifier: Classifier, folder: pathlib.Path) -> dict[str, str]:
    """Write a trained model's weights, and its vocabulary if it has one.

    Returns:
        The SHA-256 of what was written, by its name in a record.
    """
    checkpoint.save_weights(bare(classifier), folder / WEIGHTS_FILE)
    digests = {"weights_sha256": checkpoint.sha256(folder / WEIGHTS_FILE)}
    if not isinstance(classifier, ImageClassifier):
        classifier.write_vocabulary(folder / VOCABULARY_FILE)
        digests["vocabulary_sha256"] = checkpoint.sha256(folder / VOCABULARY_FILE)
    return digests


def bare(classifier: Classifier) -> Classifier:
    """A copy without optimizer, whose weights file is the model's and nothing else."""
    copy = type(classifier).from_config(classifier.get_config())
    copy.set_weights(classifier.get_weights())
    return copy


@contextlib.contextmanager
def dtype_policy(name: str) -> Iterator[None]:
    """Make `name` the policy of the layers that are built inside the block."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _new(dataset: datasets.Dataset[Any], recipe: Recipe, variant: str | None) -> Classifier:
    """The recipe's classifier with fresh weights."""
    return from_architecture(
        recipe.architecture,
        dataset.label_names,
        text=recipe.encoder_settings,
        **recipe.settings(variant),
    )


def _alike(trained: Classifier, kept: Classifier, folder: pathlib.Path) -> Classifier:
    """`kept`, with the weights and the vocabulary of `trained`."""
    if not isinstance(trained, ImageClassifier):
        trained.write_vocabulary(folder / VOCABULARY_FILE)
        kept.read_vocabulary(folder / VOCABULARY_FILE)
    kept.set_weights(trained.get_weights())
    return kept


def _loaded(classifier: Classifier, folder: pathlib.Path) -> Classifier:
    """`classifier`, with what `save` wrote."""
    if not isinstance(classifier, ImageClassifier):
        classifier.read_vocabulary(folder / VOCABULARY_FILE)
    classifier.load_weights(folder / WEIGHTS_FILE)
    return classifier


def _finished(folder: pathlib.Path, identity: Identity) -> dict[str, Any] | None:
    """The record of this very run, if it is done and what it left is whole."""
    path = folder / "record.json"
    if not path.is_file():
        return None
    record = json.loads(path.read_text(encoding="utf-8"))
    of_run = record["recipe_digest"], record["variant"], record["seed"]
    files = {"weights_sha256": WEIGHTS_FILE, "vocabulary_sha256": VOCABULARY_FILE}
    same = (*of_run, record["data"]["train_sha256"]) == dataclasses.astuple(identity)
    whole = all(
        (folder / file).is_file() and checkpoint.sha256(folder / file) == record[key]
        for key, file in files.items()
        if key in record
    )
    return record if same and whole else None


def _compiled(
    classifier: Classifier,
    read: Examples,
    recipe: Recipe,
    seed: int,
    steps: int,
    spread: Distribution,
) -> Learner:
    layers = augmentations(recipe.augmentation, seed)
    settings = recipe.training
    learner = Learner(
        classifier, layers, settings.ema, one_hot=read.one_hot, r_drop=settings.r_drop
    )
    optimizer = build_optimizer(recipe, steps)
    if recipe.training.precision == "mixed_float16":
        # Keras wraps it by the policy of the model that is compiled, and the learner's own
        # is float32, for the averages' sake.
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    learner.compile(
        optimizer=optimizer,
        loss=read.loss(recipe.training.label_smoothing),
        metrics=[read.accuracy()],
        # XLA cannot compile what replicas tell each other.
        jit_compile=compile_mode() if spread.replicas == 1 else False,
    )
    return learner


def _check_going_on(resume: Any, checkpoint_steps: Any) -> None:
    if resume not in (True, False, "auto"):
        raise ValueError(f"`resume` must be True, False or 'auto'. Received: {resume!r}.")
    if checkpoint_steps is not None and (
        not isinstance(checkpoint_steps, int) or checkpoint_steps < 1
    ):
        raise ValueError(
            "`checkpoint_steps` must be a positive number of steps, or None for epochs alone. "
            f"Received: {checkpoint_steps!r}."
        )


def _check_sharing(recipe: Recipe, spread: Distribution) -> None:
    """Refuse batches that the replicas cannot share."""
    if recipe.task != "translation":  # whose batches are of tokens
        spread.check_batch_size(recipe.training.batch_size)
    elif recipe.training.r_drop and spread.replicas > 1:
        raise ValueError(
            "The two copies of a pair, of which `r_drop` speaks, must stay on one replica. "
            f"Received: {spread.replicas} replicas. Train on one, or without r_drop."
        )


def _check_settings(recipe: Recipe, variant: str | None) -> None:
    """Refuse, before anything is read or written, a model that cannot be built."""
    for name in {None, variant, *recipe.variants}:
        try:
            models.configure(recipe.architecture, **recipe.settings(name))
        except ValueError as error:
            where = "[model]" if name is None else f"[variants.{name}]"
            raise RecipeError(f"The recipe's {where}: {error}") from error


def _tellers(
    folder: pathlib.Path, classifier: Classifier, read: Examples, state: State, tensorboard: bool
) -> list[keras.callbacks.Callback]:
    """The callbacks that write, or tell something of each epoch; they see the averages."""
    callbacks: list[keras.callbacks.Callback] = [
        *read.callbacks(classifier),
        BestWeights(
            folder / "best.weights.h5",
            classifier,
            functools.cache(lambda: bare(classifier)),
            best=max((row.get("val_accuracy", -1.0) for row in state.history), default=-1.0),
        ),
    ]
    if tensorboard:
        callbacks.append(keras.callbacks.TensorBoard(folder / "tensorboard"))
    return callbacks


def _cost(spent: Cost, seen: int) -> dict[str, Any]:
    """Parameters, and FLOPs: a training step is a forward pass and twice that backward."""
    return {
        "parameters": spent.parameters,
        "forward_flops": spent.flops,
        "train_flops": 3 * spent.flops * seen,
    }
