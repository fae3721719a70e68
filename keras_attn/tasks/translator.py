"""Translation: from strings of one language to strings of another."""

import os
import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
import numpy as np

from keras_attn.data import (
    EncodedPairs,
    EvaluationPairBatches,
    PairBatches,
    padded,
    pair_batches_for_fit,
)
from keras_attn.decoding import beam_search
from keras_attn.models import TranslationModel
from keras_attn.tasks.compilation import compile_mode
from keras_attn.tasks.sequence_loss import SequenceCrossentropy, TokenAccuracy
from keras_attn.text import SubwordTokenizer, train_subwords
from keras_attn.text.subwords import END_ID, START_ID

Tensor = Any
BATCH = 256  # texts that are encoded at a time
SEARCH_BATCH = 64  # texts that are searched for at a time


class Translation(NamedTuple):
    """A translation.

    Attributes:
        text: the text.
        score: its log-probability by the model, in nats; 0 or less.
    """

    text: str
    score: float


@keras.saving.register_keras_serializable(package="keras_attn")
class Translator(keras.Model):
    """A network with its subwords: sentences in, sentences out.

    It is a `keras.Model`: `fit` and `evaluate` take two lists or arrays of strings, sources
    and targets, or what a network reads; `save` writes the subwords along. It comes compiled
    with Adam; compile it again to choose otherwise. A new one is given its subwords by
    `adapt`, before anything else.

    Args:
        network: a model of ids, such as a `keras_attn.models.TranslationTransformer`.
        tokenizer: what makes ids of strings; of no more ids than the network embeds. One
            without pieces waits for `adapt`.
        max_length: the most subwords of a text that are read, and of a translation that are
            written; what follows is cut off.
        min_count: how often `adapt` must see what becomes a subword.

    Call arguments:
        inputs: `{"source": (B, S), "target": (B, T)}`, ids as of `encode`.

    Returns:
        float32 logits `(B, T, V)` of the token after each of the target's.

    Raises:
        ValueError: the tokenizer has more ids than the network.
    """

    def __init__(
        self,
        network: TranslationModel,
        tokenizer: SubwordTokenizer,
        max_length: int = 256,
        min_count: int = 2,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.network = network
        self.tokenizer = tokenizer
        self.max_length = max_length
        self.min_count = min_count
        self._searches: dict[tuple, Any] = {}
        self._check_size(tokenizer)
        self.built = True
        self.compile(
            optimizer=keras.optimizers.Adam(1e-3),
            loss=SequenceCrossentropy(label_smoothing=0.1),
            metrics=[TokenAccuracy()],
            jit_compile=compile_mode(),
        )

    def call(self, inputs: dict[str, Tensor], training: bool | None = None) -> Tensor:
        return self.network(inputs, training=training)

    def compute_output_spec(self, inputs: Any, training: bool | None = None) -> Any:
        return self.network.compute_output_spec(inputs, training=training)

    def adapt(self, sources: Sequence[str], targets: Sequence[str]) -> None:
        """Learn the subwords, which sources and targets share.

        Call it once, on the training pairs, before a new model's `fit`.

        Args:
            sources: training sources.
            targets: their translations.
        """
        trained = train_subwords(
            [*sources, *targets],
            self.network.config.vocabulary_size,
            self.tokenizer.normalizer,
            min_count=self.min_count,
            split_punctuation=True,
        )
        self.tokenizer.assign(trained.pieces)

    def encode(self, sources: Sequence[str], targets: Sequence[str]) -> EncodedPairs:
        """Pairs of texts as ids, for many passes over them.

        Raises:
            ValueError: there are not as many targets as sources.
        """
        if len(sources) != len(targets):
            raise ValueError(
                "There must be one target a source. Received: "
                f"{len(sources)} sources, {len(targets)} targets."
            )
        ends = [np.append(ids, END_ID) for ids in self._ids(sources)]
        return EncodedPairs(ends, self._ids(targets), START_ID, END_ID)

    def translate(
        self,
        texts: str | Sequence[str],
        beam_size: int = 4,
        *,
        n_best: int = 1,
        length_penalty: float = 1.0,
    ) -> Any:
        """Translations of one text or several.

        A text without words has the empty translation.

        Args:
            texts: a string, or a list or array of them.
            beam_size: beams of the search; 1 is the greedy one.
            n_best: how many translations to give of each text, at most `beam_size`.
            length_penalty: 0 ranks by log-probability alone; more favours longer ones, see
                `keras_attn.decoding.Hypotheses`.

        Returns:
            A `Translation` a text, the only one for one text; with `n_best` above 1 a list
            of them a text, best first.
        """
        if isinstance(texts, str | bytes):
            return self.translate([texts], beam_size, n_best=n_best, length_penalty=length_penalty)[
                0
            ]
        rows = self._ids(texts)
        answers: list[list[Translation]] = [[Translation("", 0.0)] for _ in rows]
        order = [index for index in np.argsort([len(ids) for ids in rows]) if len(rows[index])]
        for start in range(0, len(order), SEARCH_BATCH):
            chosen = order[start : start + SEARCH_BATCH]
            source = padded([np.append(rows[index], END_ID) for index in chosen], 4)
            found = self._search(source, beam_size, n_best, length_penalty)
            for index, ids, scores in zip(chosen, *found, strict=True):
                answers[index] = self._answers(ids, scores)
        return answers if n_best > 1 else [found[0] for found in answers]

    def fit(self, x: Any = None, y: Any = None, **kwargs: Any) -> Any:
        """Train on pairs of strings or ids, as `keras.Model.fit` does.

        Of strings `batch_size` counts the tokens of a batch; 2048 if it is not given. They
        are batched with others of like length, in another order each epoch.
        """
        held_out = kwargs.get("validation_data")
        if isinstance(held_out, tuple) and _are_texts(held_out[0]):
            pairs = self.encode(*held_out)
            batches = EvaluationPairBatches(pairs, 64)
            kwargs["validation_data"] = pair_batches_for_fit(batches)
        if not _are_texts(x):
            return super().fit(x, y, **kwargs)
        epochs, first = kwargs.get("epochs", 1), kwargs.get("initial_epoch", 0)
        batches = PairBatches(
            self.encode(x, y),
            kwargs.pop("batch_size", None) or 2048,
            seed=0,
            epochs=epochs,
            initial_epoch=first,
        )
        kwargs = {**kwargs, "steps_per_epoch": batches.steps, "shuffle": False}
        return super().fit(pair_batches_for_fit(batches), **kwargs)

    def evaluate(self, x: Any = None, y: Any = None, **kwargs: Any) -> Any:
        """Loss and accuracy on pairs of strings or ids, as `keras.Model.evaluate`."""
        if not _are_texts(x):
            return super().evaluate(x, y, **kwargs)
        batches = EvaluationPairBatches(self.encode(x, y), kwargs.pop("batch_size", None) or 64)
        return super().evaluate(pair_batches_for_fit(batches), **kwargs)

    def save(self, filepath: str | os.PathLike[str], *args: Any, **kwargs: Any) -> None:
        """Save the whole model with its subwords, as `keras.Model.save` does."""
        if self.optimizer is not None and not self.optimizer.built:
            # Keras builds the optimizer on loading, and warns if the file holds one unbuilt.
            self.optimizer.build(self.trainable_variables)
        super().save(filepath, *args, **kwargs)

    def write_vocabulary(self, path: str | os.PathLike[str]) -> None:
        """Write the subwords, one a line."""
        self.tokenizer.write(path)

    def read_vocabulary(self, path: str | os.PathLike[str]) -> None:
        """Read the subwords that `write_vocabulary` wrote.

        Raises:
            ValueError: there is no such file, it is damaged, or it holds too many.
        """
        self.tokenizer.read(path)
        self._check_size(self.tokenizer)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "network": keras.saving.serialize_keras_object(self.network),
            "tokenizer": keras.saving.serialize_keras_object(self.tokenizer),
            "max_length": self.max_length,
            "min_count": self.min_count,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> "Translator":
        config = dict(config)
        parts = {
            name: keras.saving.deserialize_keras_object(config.pop(name), custom_objects)
            for name in ("network", "tokenizer")
        }
        return cls(**parts, **config)

    def _search(
        self, source: np.ndarray, beam_size: int, n_best: int, length_penalty: float
    ) -> tuple[np.ndarray, np.ndarray]:
        lengths = (source != 0).sum(axis=1)
        limits = np.minimum(2 * lengths + 10, self.max_length)
        length = min(-(-int(limits.max()) // 32) * 32, self.max_length)
        key = (beam_size, n_best, length_penalty, length)
        if key not in self._searches:
            self._searches[key] = self._compiled_search(*key)
        found = self._searches[key](source, limits.astype("int32"))
        return keras.ops.convert_to_numpy(found.ids), keras.ops.convert_to_numpy(
            found.log_probabilities
        )

    def _compiled_search(
        self, beam_size: int, n_best: int, length_penalty: float, length: int
    ) -> Any:
        def search(source: Tensor, limits: Tensor) -> Any:
            return beam_search(
                self.network,
                source,
                num_beams=beam_size,
                num_return=n_best,
                max_length=length,
                start_id=START_ID,
                end_id=END_ID,
                length_penalty=length_penalty,
                row_max_length=limits,
            )

        if keras.backend.backend() != "tensorflow":
            return search
        import tensorflow as tf

        signature = (tf.TensorSpec((None, None), tf.int32), tf.TensorSpec((None,), tf.int32))
        return tf.function(search, input_signature=signature)

    def _answers(self, ids: np.ndarray, scores: np.ndarray) -> list[Translation]:
        known = np.where(ids < self.tokenizer.size, ids, 0)
        texts = self.tokenizer.detokenize(known).numpy()
        return [
            Translation(text.decode("utf-8"), float(score))
            for text, score in zip(texts, scores, strict=True)
        ]

    def _ids(self, texts: Sequence[str]) -> list[np.ndarray]:
        """The ids of each text, at most `max_length` of them."""
        rows: list[np.ndarray] = []
        for start in range(0, len(texts), BATCH):
            ids = self.tokenizer(list(texts[start : start + BATCH]))[:, : self.max_length]
            rows += np.split(ids.values.numpy(), ids.row_splits.numpy()[1:-1])
        return rows

    def _check_size(self, tokenizer: SubwordTokenizer) -> None:
        known = self.network.config.vocabulary_size
        if tokenizer.size > known:
            raise ValueError(
                "The tokenizer must not make ids that the network does not embed. Received: a "
                f"tokenizer of {tokenizer.size} ids, a network of {known}."
            )


def _are_texts(x: Any) -> bool:
    if isinstance(x, list | tuple):
        return all(isinstance(text, str | bytes) for text in x)
    return isinstance(x, np.ndarray) and x.dtype.kind in ("U", "S", "O")
