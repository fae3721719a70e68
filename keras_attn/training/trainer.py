"""From a recipe to a trained model, by `model.fit`."""

import contextlib
import dataclasses
import functools
import json
import os
import pathlib
import time
from collections.abc import Iterator
from typing import Any

import keras

from keras_attn import data, models
from keras_attn.explain import Cost
from keras_attn.tasks import ImageClassifier, compile_mode, from_architecture
from keras_attn.training import checkpoint, examples, strategies
from keras_attn.training.checkpoint import VOCABULARY_FILE, WEIGHTS_FILE
from keras_attn.training.examples import Classifier, Examples, evaluate
from keras_attn.training.learner import EvaluateAverages, Learner, SeedEpochs, augmentations
from keras_attn.training.optimizers import build_optimizer
from keras_attn.training.provenance import provenance
from keras_attn.training.recipe import Recipe, RecipeError


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
    resume: bool = False,
    data_dir: str | os.PathLike[str] | None = None,
    dataset: data.Dataset[Any] | None = None,
    strategy: str | Any = "none",
    tensorboard: bool = False,
    verbose: int | str = "auto",
) -> Run:
    """Train a recipe's model, keeping a checkpoint an epoch, and evaluate it.

    The validation split is looked at after every epoch; the test split is read once, at
    the end, and decides nothing.

    Args:
        recipe: what to train, see `load_recipe`.
        folder: new or empty folder for the run's files.
        variant: a variant of the recipe to train instead of its model.
        seed: seed of the run; None is the first of the recipe.
        resume: go on from the last checkpoint in `folder`.
        data_dir: see `keras_attn.data.load`.
        dataset: use this data set in place of the recipe's.
        strategy: `"none"`, `"one_device"`, `"mirrored"`, or a `tf.distribute.Strategy`. The
            recipe's batch size is that of all replicas together.
        tensorboard: also write TensorBoard logs, under `folder/tensorboard`.
        verbose: see `keras.Model.fit`.

    Returns:
        The classifier with its final weights, and the record of the run.

    Raises:
        FileExistsError: `folder` holds files, and `resume` is false.
        CheckpointError: the checkpoint in `folder` is damaged or of another run.
        DatasetNotFoundError: the data set is not on disk.
        RecipeError: the recipe has no such variant.
        ValueError: no strategy has that name.
    """
    scope = strategies.scope(strategy)
    folder = pathlib.Path(folder)
    if not resume and folder.exists() and any(folder.iterdir()):
        raise FileExistsError(
            f"The run's folder {str(folder)!r} is not empty. Give --resume to go on with the run "
            "in it, or another folder."
        )
    seed = recipe.training.seeds[0] if seed is None else seed
    _check_settings(recipe, variant)
    dataset = data.load(recipe.dataset, data_dir) if dataset is None else dataset
    fingerprint = dataset["train"].fingerprint
    identity = (recipe.digest, variant or "", seed, fingerprint)
    state = checkpoint.read_state(folder, *identity) if resume else None
    settings = recipe.training
    done = 0 if state is None else state.epoch
    origin = provenance()

    keras.utils.set_random_seed(seed)
    with scope:
        with dtype_policy(settings.precision):
            classifier = _new(dataset, recipe, variant)
        read = examples.read(classifier, dataset, recipe)
        steps = read.steps(settings.batch_size)
        learner = _compiled(classifier, read, recipe, seed, steps)
        learner.optimizer.build(learner.trainable_variables)
    batches = read.batches(settings.batch_size, seed, settings.epochs, done)
    folder.mkdir(parents=True, exist_ok=True)

    seconds = 0.0
    if state is not None:
        learner.load_weights(folder / state.weights)
        seconds = state.seconds
    keeper = checkpoint.Checkpoint(folder, *identity, seconds=seconds)
    if done < settings.epochs:
        learner.fit(
            batches,
            epochs=settings.epochs,
            initial_epoch=done,
            steps_per_epoch=steps,
            shuffle=False,  # the batches are shuffled already
            **read.validation(),
            callbacks=[
                SeedEpochs(seed),
                *_callbacks(keeper, classifier, read, recipe, done, tensorboard),
            ],
            verbose=verbose,
        )
        seconds = keeper.seconds
    elif settings.ema:
        learner.exchange()
    if settings.precision != "float32":
        # What is kept computes in float32 wherever it is loaded; let its figures be of that.
        classifier = _in_float32(classifier, _new(dataset, recipe, variant), folder)
    finished = read.finish(classifier)
    digests = save(classifier, folder)
    record = {
        "variant": variant or "",
        "seed": seed,
        "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "recipe_digest": recipe.digest,
        "epochs": settings.epochs,
        "train_seconds": round(seconds, 1),
        **_cost(read.cost(classifier.network), read.seen(settings.batch_size) * settings.epochs),
        **finished,
        "metrics": {
            name: evaluate(classifier, dataset[name], settings.views)
            for name in dataset
            if name == "validation" or name.startswith("test")
        },
        **digests,
        "data": {"name": dataset.name, "train_sha256": fingerprint},
        **origin,
    }
    checkpoint.write_text(folder / "record.json", json.dumps(record, indent=2))
    return Run(classifier, record, folder)


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


def _new(dataset: data.Dataset[Any], recipe: Recipe, variant: str | None) -> Classifier:
    """The recipe's classifier with fresh weights."""
    return from_architecture(
        recipe.architecture,
        dataset.label_names,
        text=recipe.encoder_settings,
        **recipe.settings(variant),
    )


def _in_float32(trained: Classifier, kept: Classifier, folder: pathlib.Path) -> Classifier:
    """`kept`, with the weights and the vocabulary of `trained`."""
    if not isinstance(trained, ImageClassifier):
        trained.write_vocabulary(folder / VOCABULARY_FILE)
        kept.read_vocabulary(folder / VOCABULARY_FILE)
    kept.set_weights(trained.get_weights())
    return kept


def _compiled(
    classifier: Classifier, read: Examples, recipe: Recipe, seed: int, steps: int
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
        jit_compile=compile_mode(),
    )
    return learner


def _check_settings(recipe: Recipe, variant: str | None) -> None:
    """Refuse, before anything is read or written, a model that cannot be built."""
    for name in {None, variant, *recipe.variants}:
        try:
            models.configure(recipe.architecture, **recipe.settings(name))
        except ValueError as error:
            where = "[model]" if name is None else f"[variants.{name}]"
            raise RecipeError(f"The recipe's {where}: {error}") from error


def _callbacks(
    keeper: checkpoint.Checkpoint,
    classifier: Classifier,
    read: Examples,
    recipe: Recipe,
    done: int,
    tensorboard: bool,
) -> list[keras.callbacks.Callback]:
    # The checkpoint holds weights and averages as they are in the middle of training, and
    # must come before the callback that exchanges the two; the best weights come after.
    folder, log = keeper.folder, keeper.folder / "log.csv"
    callbacks: list[keras.callbacks.Callback] = [keeper]
    if recipe.training.ema:
        callbacks.append(EvaluateAverages())
    callbacks += [
        *read.callbacks(classifier),
        checkpoint.BestWeights(
            folder / "best.weights.h5",
            classifier,
            functools.cache(lambda: bare(classifier)),
            best=_best_so_far(log) if done else -1.0,
        ),
        keras.callbacks.CSVLogger(log, append=done > 0),
    ]
    if tensorboard:
        callbacks.append(keras.callbacks.TensorBoard(folder / "tensorboard"))
    return callbacks


def _best_so_far(log: pathlib.Path) -> float:
    lines = log.read_text().splitlines() if log.is_file() else []
    if len(lines) < 2:
        return -1.0
    columns = lines[0].split(",")
    rows = [dict(zip(columns, line.split(","), strict=False)) for line in lines[1:]]
    # A kill may have cut the last row.
    return max(float(row.get("val_accuracy") or -1.0) for row in rows)


def _cost(spent: Cost, seen: int) -> dict[str, Any]:
    """Parameters, and FLOPs: a training step is a forward pass and twice that backward."""
    return {
        "parameters": spent.parameters,
        "forward_flops": spent.flops,
        "train_flops": 3 * spent.flops * seen,
    }
