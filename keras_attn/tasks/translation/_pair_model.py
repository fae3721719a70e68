"""Base class of tasks that are trained on pairs of strings."""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

import keras
import numpy as np

from keras_attn._token_ids import END_ID, FIRST_PIECE_ID, START_ID
from keras_attn._types import Tensor
from keras_attn._wording import counted
from keras_attn.batching import EncodedPairs, EvaluationBatches, PairBatches, prepare_batches
from keras_attn.datasets.languages import guess_language
from keras_attn.models import TranslationModel
from keras_attn.tasks._batches import (
    alternate_lengths,
    check_batched,
    check_elements,
    is_dataset,
    with_rank,
)
from keras_attn.tasks._texts import as_texts
from keras_attn.tasks.compilation import needs_static_shapes
from keras_attn.tasks.item_loss import ItemLossModel
from keras_attn.tasks.sequence_loss import token_weights
from keras_attn.tasks.task import Task
from keras_attn.tasks.translation._search import BATCH, STATIC_MULTIPLE
from keras_attn.tasks.translation._sentences import sentence_ids
from keras_attn.text import Normalizer, SubwordTokenizer, train_subwords

Texts = Sequence[str] | np.ndarray

_WEIGHTS = (
    "For weights of pairs pass a `tf.data.Dataset` or `keras.utils.PyDataset` "
    "of batches (sources, targets, weights)."
)
_REMEDIES = {
    "sample_weight": _WEIGHTS,
    "class_weight": f"Targets have no classes. {_WEIGHTS}",
    "validation_split": "Pass validation_data=(sources, targets).",
}
BATCH_TOKENS = 2048  # default number of tokens in a training batch


class PairModel(ItemLossModel, Task):
    """A network with subwords. `fit` and `evaluate` take pairs of strings.

    The loss of `fit`, `evaluate` and callbacks is the mean over the target tokens of all batches,
    their end tokens included.
    """

    network: TranslationModel
    tokenizer: SubwordTokenizer
    max_length: int
    min_count: int
    target_language: str | None
    fold_targets: bool

    @property
    def target_normalizer(self) -> Normalizer:
        """The normalization of targets: that of sources, but spelled as they are written."""
        if self.fold_targets:
            return self.tokenizer.normalizer
        return dataclasses.replace(self.tokenizer.normalizer, fold=False)

    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        if not isinstance(inputs, dict):
            raise TypeError(
                f"{type(self).__name__} calls its network on {{'source': ids, 'target': ids}}, "
                "see `encode`. For translations of texts call `translate(texts)`. Received: "
                f"{type(inputs).__name__}."
            )
        return super().__call__(inputs, *args, **kwargs)

    def call(self, inputs: dict[str, Tensor], training: bool | None = None) -> Tensor:
        return self.network(inputs, training=training)

    def compute_output_spec(self, inputs: Any, training: bool | None = None) -> Any:
        return self.network.compute_output_spec(inputs, training=training)

    def loss_size(self, y: Tensor, sample_weight: Any = None) -> Tensor:
        return keras.ops.sum(token_weights(y, sample_weight))

    def adapt(self, sources: Texts, targets: Texts) -> None:
        """Learn subwords, which are shared by sources and targets.

        Call it once on a new model, with the training pairs, before `fit`.

        Args:
            sources: Training sources.
            targets: Their translations.
        """
        self._check_adaptable()
        source_texts, target_texts = as_texts(sources, "sources"), as_texts(targets, "targets")
        trained = train_subwords(
            source_texts,
            self.network.config.vocabulary_size,
            self.tokenizer.normalizer,
            min_count=self.min_count,
            split_punctuation=True,
            targets=target_texts,
            target_normalizer=self.target_normalizer,
        )
        self.tokenizer.assign(trained.pieces)
        self.target_language = self.target_language or guess_language(
            text if isinstance(text, str) else text.decode("utf-8", "replace")
            for text in target_texts
        )

    def encode(self, sources: Texts, targets: Texts) -> EncodedPairs:
        """Return pairs of texts as ids, for repeated passes over them.

        Warns:
            UserWarning: A text has more than `max_length` subwords; the rest is not read.

        Raises:
            TypeError: `sources` or `targets` is not a list or array of strings.
            ValueError: The numbers of sources and targets differ.
        """
        source_texts, target_texts = as_texts(sources, "sources"), as_texts(targets, "targets")
        if len(source_texts) != len(target_texts):
            raise ValueError(
                "There must be one target for each source. Received: "
                f"{counted(len(source_texts), 'source')}, {counted(len(target_texts), 'target')}."
            )
        rest = "not read, and not scored as a target"
        return self.paired(
            self._ids(source_texts, rest), self._ids(target_texts, rest, self.target_normalizer)
        )

    def paired(self, sources: Sequence[np.ndarray], targets: Sequence[np.ndarray]) -> EncodedPairs:
        """Return encoded pairs from ids without start and end, truncated to `max_length`."""
        source_ids = [np.append(ids[: self.max_length], END_ID) for ids in sources]
        target_ids = [ids[: self.max_length] for ids in targets]
        pairs = EncodedPairs(source_ids, target_ids, START_ID, END_ID)
        if needs_static_shapes():
            return dataclasses.replace(pairs, length_multiple=STATIC_MULTIPLE)
        return pairs

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        **kwargs: Any,
    ) -> Any:
        """Train on pairs of strings or ids, as `keras.Model.fit` does.

        For lists of strings `batch_size` counts the tokens of a batch; the default is 2048. They
        are batched with others of like length, in another order each epoch. A
        `tf.data.Dataset` or `keras.utils.PyDataset` of `(sources, targets)` has its own batches.

        Raises:
            ValueError: There is `class_weight`; or `sample_weight` or `validation_split` for lists.
        """
        _refuse(kwargs, ("class_weight",))
        if not _are_texts(x):
            return super().fit(x, y, batch_size, epochs, **kwargs)
        _refuse(kwargs, ("sample_weight", "validation_split"))
        batches = PairBatches(
            self.encode(x, y),
            batch_size or BATCH_TOKENS,
            seed=int(np.random.randint(2**31)),  # depends on `keras.utils.set_random_seed`
            epochs=epochs,
            static_shapes=needs_static_shapes(),
        )
        start = kwargs.get("initial_epoch", 0) * batches.steps
        kwargs = {**kwargs, "steps_per_epoch": batches.steps, "shuffle": False}
        return super().fit(prepare_batches(batches, start=start), epochs=epochs, **kwargs)

    def evaluate(
        self, x: Any = None, y: Any = None, batch_size: int | None = None, **kwargs: Any
    ) -> Any:
        """Return loss and accuracy on pairs of strings or ids, as `keras.Model.evaluate` does."""
        size = batch_size
        if _are_texts(x):
            _refuse(kwargs, ("sample_weight",))
            size = None  # it does not change the result
        return super().evaluate(x, y, size, **kwargs)

    def predict(self, x: Any, batch_size: int | None = None, **kwargs: Any) -> Any:
        """Return the logits of ids, as `keras.Model.predict` does; for texts, see `translate`."""
        if _are_texts(x):
            raise TypeError(
                "`predict` takes `{'source': ids, 'target': ids}`, see `encode`. For translations "
                "of texts call `translate(texts)`."
            )
        return super().predict(x, batch_size, **kwargs)

    def _preprocess(self, x: Any, *rest: Any, training: bool = False) -> Any:
        """Return pairs of strings as batches of ids, see `Task._preprocess`."""
        if not _are_texts(x):
            return super()._preprocess(x, *rest, training=training)
        if len(rest) > 1:
            raise ValueError(f"Lists of texts are (sources, targets). {_WEIGHTS}")
        pairs = self.encode(x, *(rest or (None,)))
        return prepare_batches(EvaluationBatches(pairs, BATCH))

    def _preprocess_item(self, index: int, x: Any, *rest: Any, training: bool = False) -> Any:
        """Return a batch of pairs of strings as ids; ids as they are."""
        if isinstance(x, dict):
            return (x, *rest) if rest else x
        targets, *weights = _check_pair(rest, "A batch of pairs of texts must be")
        pairs = self.encode(x, targets)
        batch = pairs.batch(np.arange(len(pairs)), multiple=1)
        batch = keras.tree.map_structure(lambda ids: alternate_lengths(ids, index), batch)
        return (*batch, *map(np.asarray, weights))

    def _is_raw(self, spec: Any) -> bool:
        first = spec[0] if isinstance(spec, tuple) else spec
        if isinstance(first, dict):  # ids by name; other dictionaries are refused
            return set(first) != {"source", "target"}
        return getattr(first, "dtype", None) == "string"

    def preprocess_batch(self, x: Tensor, *rest: Tensor, training: bool = False) -> Any:
        """Convert a batch of sources and targets, as strings, into ids."""
        import tensorflow as tf

        check_elements((x, *rest), self.description.examples)
        targets, *weights = _check_pair(
            rest, "A tf.data.Dataset for translation must hold batches of"
        )
        x, targets = with_rank(x, 1), with_rank(targets, 1)
        check_batched(x)
        weights = [_check_weights_shape(each) for each in weights]
        ids = self.tokenizer.tokenize(targets, self.target_normalizer)[:, : self.max_length]
        starts, ends = (tf.fill([tf.shape(targets)[0], 1], id_) for id_ in (START_ID, END_ID))
        target = tf.concat([starts, ids], axis=1).to_tensor()
        predicted = tf.concat([ids, ends], axis=1).to_tensor()
        return {"source": self.source_ids(x), "target": target}, predicted, *weights

    def source_ids(self, sources: Tensor) -> Tensor:
        """Convert a string tensor `(B,)` into source ids, in a TensorFlow graph."""
        import tensorflow as tf

        ids = self.tokenizer(sources)[:, : self.max_length]
        ids = tf.concat([ids, tf.fill([tf.shape(sources)[0], 1], END_ID)], axis=1).to_tensor()
        # Without texts there is no end either, and recurrent layers cannot read a length of 0.
        return tf.pad(ids, [[0, 0], [0, tf.cast(tf.equal(tf.shape(ids)[1], 0), tf.int32)]])

    @property
    def _vocabulary(self) -> Iterable[str]:
        return self.tokenizer.pieces

    @property
    def _is_adapted(self) -> bool:
        return self.tokenizer.size > FIRST_PIECE_ID

    def _ids(
        self,
        texts: Sequence[Any] | np.ndarray,
        consequence: str = "",
        normalizer: Normalizer | None = None,
    ) -> list[np.ndarray]:
        return sentence_ids(self.tokenizer, texts, self.max_length, consequence, normalizer)


def _check_pair(rest: tuple[Any, ...], sentence: str) -> tuple[Any, ...]:
    """Return what follows the sources of a batch: the targets, or the targets and weights."""
    if len(rest) in (1, 2):
        return rest
    raise ValueError(
        f"{sentence} (sources, targets) or (sources, targets, weights). Received: "
        f"{counted(len(rest) + 1, 'part')}."
    )


def _refuse(arguments: dict[str, Any], names: Sequence[str]) -> None:
    """Raise ValueError for arguments of Keras that do not apply to pairs of texts."""
    for name in names:
        value = arguments.get(name)
        is_default = name == "validation_split" and value == 0.0
        if value is not None and not is_default:
            kind = "" if name == "class_weight" else " in lists"
            raise ValueError(
                f"`{name}` is not supported for pairs of texts{kind}. Received: {value!r:.80}. "
                f"{_REMEDIES[name]}"
            )


def _check_weights_shape(weights: Tensor) -> Tensor:
    """Return the weights of a batch of a `tf.data.Dataset`, if their rank is known."""
    if weights.shape.rank is None:
        raise ValueError(
            "The weights of the tf.data.Dataset have no shape, and may be those of pairs or of "
            "tokens. Pass `output_signature` to tf.data.Dataset.from_generator."
        )
    return weights


def _are_texts(x: Any) -> bool:
    """Return whether `x` must be a list or array of texts, because it is no ids or data set."""
    return not (is_dataset(x) or (isinstance(x, dict) and "source" in x))
