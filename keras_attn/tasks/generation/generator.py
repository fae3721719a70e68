"""The text generator: a task that continues texts."""

import os
import pathlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, Self

import keras
import numpy as np

from keras_attn import models
from keras_attn._token_ids import FIRST_CHARACTER_ID, FIRST_PIECE_ID
from keras_attn._validation import check_positive_integer
from keras_attn.batching import DocumentBatches, EncodedDocuments
from keras_attn.datasets import Dataset, DocumentSplit
from keras_attn.models import CausalTransformer
from keras_attn.recipes import Recipe, TaskDescription
from keras_attn.tasks._texts import as_texts
from keras_attn.tasks.compilation import compile_mode
from keras_attn.tasks.example_answers import ExampleAnswer
from keras_attn.tasks.generation._fitting import GenerationFitting
from keras_attn.tasks.generation._search import (
    Completion,
    GenerationSearch,
    cut_at_stop,
    generate_in_graph,
)
from keras_attn.tasks.generation.answers import Generation
from keras_attn.tasks.generation.description import DESCRIPTION
from keras_attn.tasks.generation.explanation import GenerationExplanation
from keras_attn.tasks.generation.options import check_sampling_options, stop_strings
from keras_attn.tasks.generation.training_data import EVALUATION_BATCH, GenerationTrainingData
from keras_attn.tasks.sequence_loss import (
    SequenceCrossentropy,
    TokenAccuracy,
    token_losses,
)
from keras_attn.text import (
    CharacterTokenizer,
    Normalizer,
    SubwordTokenizer,
    count_characters,
    train_subwords,
)

VOCABULARY_FILE = "vocabulary.txt"
DEFAULT_LENGTH = 200  # tokens of a completion
BATCH = 32  # prompts that are continued together

Texts = Sequence[str] | np.ndarray


@keras.saving.register_keras_serializable(package="keras_attn")
class TextGenerator(GenerationFitting):
    """A causal language model with its tokenizer, which continues texts.

    It is a `keras.Model`: `fit` and `evaluate` take documents, as a list, array or column of pandas
    of strings, or as a `tf.data.Dataset` of batches of strings; or they take ids. `save` includes
    the vocabulary. It is compiled with Adam; call `compile` to change that. A new model needs a
    vocabulary: call `adapt` first.

    Args:
        network: A model from ids to logits, such as a `keras_attn.models.CausalTransformer`.
        tokenizer: A `keras_attn.text.CharacterTokenizer` or a `keras_attn.text.SubwordTokenizer`,
            with at most as many ids as the network. It may be empty until `adapt` is called.
        min_count: Minimum number of occurrences of a character, or of a pair of subwords that
            `adapt` merges.
        **kwargs: See `keras_attn.tasks.Task`.

    Call arguments:
        inputs: Ids `(B, T)`, which begin with the start token, see `encode`.

    Returns:
        Float32 logits `(B, T, V)` of the token after each position.

    Raises:
        ValueError: The tokenizer has more ids than the network, or `min_count` is below 1.

    Example:

    >>> from keras_attn.tasks import from_architecture
    >>> model = from_architecture("causal_transformer", vocabulary_size=30, model_dim=16)
    >>> model.adapt(["tea for two", "two for tea"])
    >>> answer = model.generate("tea", max_length=5, seed=1)
    >>> answer.text.startswith("tea"), len(answer.completion) <= 5
    (True, True)
    """

    description: ClassVar[TaskDescription] = DESCRIPTION
    parts: ClassVar[tuple[str, ...]] = ("network", "tokenizer")
    asset_files: ClassVar[tuple[str, ...]] = (VOCABULARY_FILE,)

    def __init__(
        self,
        network: CausalTransformer,
        tokenizer: CharacterTokenizer | SubwordTokenizer,
        min_count: int = 1,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_positive_integer("min_count", min_count)
        self.network = network
        self.tokenizer = tokenizer
        self.min_count = min_count
        self._search = GenerationSearch(network)
        self._check_size(tokenizer)
        self.built = True
        self.compile(
            optimizer=keras.optimizers.Adam(1e-3),
            loss=SequenceCrossentropy(),
            metrics=[TokenAccuracy()],
            jit_compile=compile_mode(),
        )

    @classmethod
    def from_architecture(
        cls,
        architecture: str,
        *,
        label_names: Sequence[str] = (),
        preprocessing: Mapping[str, Any] | None = None,
        **settings: Any,
    ) -> Self:
        """Return a generator with fresh weights, see `Task.from_architecture`.

        Args:
            architecture: A registered architecture for text generation.
            label_names: Must be empty, because a generator has no labels.
            preprocessing: `tokens`, `"characters"` or `"subwords"`, and `min_count`.
            **settings: Settings of the architecture.

        Raises:
            ValueError: There are labels, or a setting is unknown or out of range.
        """
        if label_names:
            raise ValueError(
                f"A text generator has no labels. Received: label_names={label_names!r}."
            )
        options = dict(preprocessing or {})
        kind = options.pop("tokens", "characters")
        if kind not in ("characters", "subwords"):
            raise ValueError(f"`tokens` must be 'characters' or 'subwords'. Received: {kind!r}.")
        tokenizer: CharacterTokenizer | SubwordTokenizer = CharacterTokenizer()
        if kind == "subwords":
            tokenizer = SubwordTokenizer(normalizer=Normalizer(lowercase=False, html=False))
        return cls(models.build(architecture, **settings), tokenizer, **options)

    # Training

    def adapt(self, texts: Texts, targets: Any = None) -> None:
        """Learn the vocabulary. Call it once on a new model, with training texts, before `fit`.

        Args:
            texts: Training documents.
            targets: Not used.

        Raises:
            ValueError: There are more characters than the network embeds; rarer ones are left out
                by a larger `min_count`.
        """
        self._check_adaptable()
        documents = as_texts(texts)
        size = self.network.config.vocabulary_size
        if not any(documents):
            raise ValueError("`texts` must have at least one character. Received: empty texts.")
        if isinstance(self.tokenizer, CharacterTokenizer):
            counted = count_characters(documents, min_count=self.min_count)
            if counted.size > size:
                raise ValueError(
                    f"The texts have {len(counted.characters):,} different characters that occur "
                    f"{self.min_count} times or more, and the network has {size:,} ids, "
                    f"{FIRST_CHARACTER_ID} of them for special tokens. Build the model with "
                    f"vocabulary_size={counted.size}, or with a larger `min_count`."
                )
            self.tokenizer.assign(counted.characters)
            return
        if size <= FIRST_PIECE_ID:
            raise ValueError(
                "A generator of subwords has an id for each byte besides its subwords. Build the "
                f"model with a `vocabulary_size` above {FIRST_PIECE_ID}. Received: {size}."
            )
        trained = train_subwords(
            documents, size, self.tokenizer.normalizer, min_count=max(2, self.min_count)
        )
        self.tokenizer.assign(trained.pieces)

    def encode(self, texts: Texts) -> EncodedDocuments:
        """Return documents as ids, for repeated passes over them.

        Raises:
            TypeError: `texts` is not a list or array of strings.
            ValueError: The model has no vocabulary yet.
        """
        self._check_adapted()
        return EncodedDocuments(self.tokenizer.encode_all(as_texts(texts)))

    def training_data(self, dataset: Dataset[Any], recipe: Recipe) -> GenerationTrainingData:
        """Return training and validation documents as windows, see `Task.training_data`."""
        return GenerationTrainingData(self, dataset, recipe)

    def evaluate_split(self, split: DocumentSplit) -> dict[str, Any]:
        """Return the metrics of a split.

        Documents are cut into windows of the length of the context, each of which begins without
        what is before it, as is usual for small language models. For `sliding_loss` each token
        is predicted from as many tokens before it as the context has.

        Returns:
            `loss`, the cross-entropy in nats per token; `sliding_loss`, the same with a full
            context; `character_loss`, `loss` in nats per character;
            `perplexity`, the exponential of `loss`; `accuracy`, the share of tokens that are the
            likeliest; the numbers of `examples` (documents), `tokens` and `characters`; the share
            of `unknown` characters; and the `context_length`.
        """
        encoded = self.encode(split.documents)
        length = self.network.config.context_length
        total, correct, tokens = self._sums(encoded, length)
        sliding, _, _ = self._sums(encoded, length, context=length)
        characters = split.characters
        loss = total / max(1, tokens)
        return {
            "loss": loss,
            "sliding_loss": sliding / max(1, tokens),
            "character_loss": total / max(1, characters),
            "perplexity": float(np.exp(loss)),
            "accuracy": correct / max(1, tokens),
            "examples": len(split),
            "tokens": tokens,
            "characters": characters,
            "unknown": self._unknown_share(split.documents),
            "context_length": length,
        }

    def _sums(
        self, encoded: EncodedDocuments, length: int, context: int = 0
    ) -> tuple[float, int, int]:
        """Return the summed loss, the number of right predictions and that of tokens.

        Args:
            encoded: The documents.
            length: Largest number of tokens that a window predicts.
            context: Number of tokens that a window reads before those that it predicts.
        """
        total, correct, tokens = 0.0, 0, 0
        for inputs, targets in DocumentBatches(encoded, length, EVALUATION_BATCH, context):
            logits = self.predict_on_batch(inputs)
            mask, losses = map(keras.ops.convert_to_numpy, token_losses(targets, logits))
            total += float(losses.sum(dtype="float64"))
            correct += int(((logits.argmax(axis=-1) == targets) * mask).sum())
            tokens += int(mask.sum())
        return total, correct, tokens

    # Answers

    def generate(
        self,
        prompts: str | bytes | Texts = "",
        *,
        n: int = 1,
        max_length: int = DEFAULT_LENGTH,
        temperature: float | None = None,
        top_k: int | None = None,
        top_p: float | None = None,
        seed: int | None = None,
        stop: str | Sequence[str] | None = None,
        no_repeat_ngram_size: int | None = None,
        beam_size: int | None = None,
        batch_size: int = BATCH,
    ) -> Any:
        """Continue one or several prompts.

        Args:
            prompts: A string, or a list, array or column of pandas of strings. An empty prompt
                begins a new document.
            n: Number of completions of each prompt.
            max_length: Largest number of tokens of a completion.
            temperature: Positive number that divides the logits; None is 1. Lower values make
                likely tokens more likely.
            top_k: Number of likeliest tokens to draw from; None is all.
            top_p: Draw from the smallest set of likeliest tokens whose probability is at least
                this, see `keras_attn.decoding.sample`.
            seed: Integer that, with the position of a prompt, determines the random choices. None
                draws one, from the generator that `keras.utils.set_random_seed` seeds.
            stop: A string that ends a completion, or a list of them. It is not part of the
                completion, but of its score.
            no_repeat_ngram_size: No sequence of so many tokens occurs twice in a text, except in
                its prompt.
            beam_size: Number of beams: the completion is then the likeliest that beam search
                finds, and nothing is random. 1 is greedy search.
            batch_size: Number of prompts in a batch.

        Returns:
            A `Generation` for a single prompt, a list of them for several. If `n` is above 1, each
            `Generation` is replaced by a list of them, the likeliest first.

        Raises:
            TypeError: A prompt or `stop` is not a string.
            ValueError: A number is out of range, or options exclude each other.

        Example: see `TextGenerator`.
        """
        check_sampling_options(
            {
                "n": n,
                "max_length": max_length,
                "temperature": temperature,
                "top_k": top_k,
                "top_p": top_p,
                "seed": seed,
                "stop": stop,
                "beam_size": beam_size,
                "no_repeat_ngram_size": no_repeat_ngram_size,
            }
        )
        check_positive_integer("batch_size", batch_size)
        single = isinstance(prompts, str | bytes)
        texts: Any = [prompts] if single else as_texts(prompts, "prompts")
        if beam_size is not None and n > beam_size:
            raise ValueError(
                f"`n` must be at most `beam_size`, the number of beams. Received: n={n}, "
                f"beam_size={beam_size}."
            )
        results = self._search(
            self.encode(texts).documents,
            n=n,
            max_length=max_length,
            temperature=1.0 if temperature is None else temperature,
            top_k=top_k,
            top_p=top_p,
            seed=int(np.random.randint(2**31 - 1)) if seed is None else int(seed),
            no_repeat_ngram_size=no_repeat_ngram_size,
            beam_size=beam_size,
            batch_size=batch_size,
            banned=self._banned_ids,
        )
        stops = stop_strings(stop)
        answers = [
            sorted((self._answer(text, each, stops) for each in found), key=lambda x: -x.score)
            for text, found in zip(texts, results, strict=True)
        ]
        unpacked: list[Any] = answers if n > 1 else [first for (first,) in answers]
        return unpacked[0] if single else unpacked

    def answers(self, inputs: Sequence[Any], **options: Any) -> list[Any]:
        """Return the completion of each prompt, see `generate`."""
        return self.generate(list(inputs), **options)

    def example_answers(self, split: DocumentSplit, count: int = 5) -> list[ExampleAnswer]:
        """Return completions of the beginnings of documents, see `Task.example_answers`.

        A beginning is the first line of a document, or its first 40 characters. If there are
        fewer documents, the first one is cut into parts at line breaks.
        """
        documents = list(split.documents[:count])
        if len(split) < count:
            text = documents[0]
            begins = [len(text) * part // count for part in range(count)]
            begins = [begin and text.find("\n", begin) + 1 for begin in begins]
            documents = [text[begin:] for begin in begins]
        examples = []
        for index, text in enumerate(documents):
            lead, _, rest = text.lstrip("\n").partition("\n")
            prompt = f"{lead[:40]}\n" if rest and len(lead) <= 40 else lead[:40]
            answer = self.generate(prompt, seed=index, temperature=0.8)
            target = text.lstrip("\n")[len(prompt) :][: len(answer.completion)]
            examples.append(ExampleAnswer(prompt, target, answer.completion, answer.score))
        return examples

    def score(self, texts: Texts, batch_size: int = EVALUATION_BATCH) -> np.ndarray:
        """Return the log-probabilities of documents in nats, float32 `(N,)`, in input order.

        The end of the document is included. Longer documents than the context are read whole.

        Args:
            texts: Documents, as for `fit`.
            batch_size: Number of documents in a batch.
        """
        check_positive_integer("batch_size", batch_size)
        encoded = self.encode(texts)
        lengths = encoded.predictions
        scores = np.zeros(len(encoded), "float32")
        order = np.argsort(lengths, kind="stable")
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            tokens = [encoded.tokens(row) for row in rows]
            inputs, targets = _pad_pairs(tokens)
            _, losses = token_losses(targets, self.predict_on_batch(inputs))
            scores[rows] = -keras.ops.convert_to_numpy(losses).sum(axis=1)
        return scores

    def explain(self, text: str, *, leave_one_out: bool = True) -> GenerationExplanation:
        """Return surprisal, attention and leave-one-out effect of each token of a text.

        Args:
            text: A text, read as the beginning of a document.
            leave_one_out: Whether to measure the effect of each token by leaving it out: one more
                pass over the text for each of its tokens.

        Raises:
            TypeError: `text` is not a single string.
            ValueError: `text` has no tokens.
        """
        if not isinstance(text, str | bytes):
            raise TypeError(f"`text` must be one string. Received: {type(text).__name__}.")
        (ids,) = self.encode([text]).documents
        if not len(ids):
            raise ValueError(f"`text` must have at least one token. Received: {text!r}.")
        tokens = EncodedDocuments([ids]).tokens(0)[:-1]
        inputs, targets = tokens[None, :-1], tokens[None, 1:]
        logits = np.array(self.predict_on_batch(inputs))
        _, losses = token_losses(targets, logits)
        scores = [keras.ops.convert_to_numpy(x)[0] for x in self.network.attention_scores(inputs)]
        names = self.tokenizer.token_strings(tokens.tolist())
        logits[..., list(self._banned_ids)] = -np.inf
        best = self.tokenizer.token_strings(logits[0].argmax(axis=-1).tolist())
        return GenerationExplanation(
            tokens=tuple(names[1:]),
            surprisal=keras.ops.convert_to_numpy(losses)[0],
            most_likely=tuple(best),
            attention=np.stack(scores) if scores else None,
            leave_one_out=self._leave_one_out(tokens) if leave_one_out else None,
        )

    def _leave_one_out(self, tokens: np.ndarray) -> np.ndarray:
        """Return the decrease of the log-probability of each token without each earlier one.

        Args:
            tokens: The start token and the `T` tokens of a text.

        Returns:
            Float32 array `(T, T)`; row `t` is that of token `t`, and column `s >= t` is 0.
        """
        _, losses = token_losses(tokens[None, 1:], self.predict_on_batch(tokens[None, :-1]))
        losses = keras.ops.convert_to_numpy(losses)[0]
        count = len(losses)
        effects = np.zeros((count, count), "float32")
        omitted = np.arange(count - 1)  # nothing follows the last token
        positions = np.arange(count)
        for start in range(0, count - 1, EVALUATION_BATCH):
            rows = omitted[start : start + EVALUATION_BATCH]
            texts = tokens[positions + (positions > rows[:, None])]
            _, changed = token_losses(texts[:, 1:], self.predict_on_batch(texts[:, :-1]))
            for row, values in zip(rows, keras.ops.convert_to_numpy(changed), strict=True):
                effects[row + 1 :, row] = values[row:] - losses[row + 1 :]
        return effects

    # Export and assets

    def serving_function(
        self,
        max_length: int = DEFAULT_LENGTH,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        stop: str | Sequence[str] | None = None,
    ) -> Callable[..., dict[str, Any]]:
        """Return the function to export, from prompts and a seed to completions with scores.

        The loop over tokens is part of the graph.

        Args:
            max_length: See `generate`.
            temperature: See `generate`.
            top_k: See `generate`.
            top_p: See `generate`.
            stop: See `generate`.
        """
        check_sampling_options(
            {"max_length": max_length, "temperature": temperature, "top_k": top_k, "top_p": top_p}
        )
        stops = stop_strings(stop)
        settings = {"temperature": temperature, "top_k": top_k, "top_p": top_p}

        def serve(texts: Any, seed: Any) -> dict[str, Any]:
            return generate_in_graph(
                self.network,
                self.tokenizer,
                texts,
                seed,
                max_length=max_length,
                settings=settings,
                banned=self._banned_ids,
                stops=stops,
            )

        return serve

    def warmup_requests(self) -> Mapping[str, Mapping[str, Any]]:
        return {"serving_default": {"texts": ["A"], "seed": np.int64(0)}}

    def write_assets(self, folder: str | os.PathLike[str]) -> None:
        """Write the vocabulary to `vocabulary.txt`."""
        self.tokenizer.write(pathlib.Path(folder, VOCABULARY_FILE))

    def read_assets(self, folder: str | os.PathLike[str]) -> None:
        """Read the vocabulary from `vocabulary.txt`.

        Raises:
            ValueError: The file is missing or damaged, or it has too many terms.
        """
        self.tokenizer.read(pathlib.Path(folder, VOCABULARY_FILE))
        self._check_size(self.tokenizer)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "min_count": self.min_count}

    @property
    def _vocabulary(self) -> Iterable[str]:
        return self.tokenizer.pieces

    @property
    def _is_adapted(self) -> bool:
        return len(self.tokenizer.pieces) > 0

    @property
    def _banned_ids(self) -> tuple[int, ...]:
        """The ids that a completion never contains: unknown characters, and ids without a term."""
        unused = range(self.tokenizer.size, self.network.config.vocabulary_size)
        unknown = self.tokenizer.unknown_id
        return (*unused,) if unknown is None else (unknown, *unused)

    def _answer(
        self, prompt: str | bytes, written: Completion, stops: tuple[str, ...]
    ) -> Generation:
        text = prompt.decode("utf-8", "replace") if isinstance(prompt, bytes) else prompt
        completion, finished = self._text(written.ids, text), written.finished
        log_probabilities = written.log_probabilities
        if cut := cut_at_stop(completion, self.tokenizer.token_bytes(written.ids), stops):
            completion, count = cut
            log_probabilities, finished = log_probabilities[:count], True
        unknown = self._unknown_characters(text)
        return Generation(
            text,
            completion,
            float(log_probabilities.sum(dtype="float64")),
            finished,
            len(text),
            len(text) - unknown,
        )

    def _text(self, ids: np.ndarray, prompt: str) -> str:
        """Return the text of the ids of a completion."""
        if isinstance(self.tokenizer, CharacterTokenizer):
            return self.tokenizer.decode(ids.tolist())  # without TensorFlow
        return self.tokenizer.continue_texts([prompt], ids[None]).numpy()[0].decode("utf-8")

    def _unknown_characters(self, text: str) -> int:
        """Return the number of characters of a text that are not in the vocabulary."""
        if self.tokenizer.unknown_id is None:
            return 0
        (ids,) = self.tokenizer.encode_all([text])
        return int((ids == self.tokenizer.unknown_id).sum())

    def _unknown_share(self, documents: Iterable[str]) -> float:
        """Return the share of characters that are not in the vocabulary."""
        total = sum(map(len, documents))
        return sum(map(self._unknown_characters, documents)) / max(1, total)

    def _check_size(self, tokenizer: CharacterTokenizer | SubwordTokenizer) -> None:
        vocabulary_size = self.network.config.vocabulary_size
        if tokenizer.size > vocabulary_size and self._is_adapted:
            raise ValueError(
                "The tokenizer must not have more ids than the network embeds. Received: a "
                f"tokenizer of {tokenizer.size:,} ids, a network of {vocabulary_size:,}."
            )


def _pad_pairs(tokens: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return inputs and targets of whole documents with start and end."""
    from keras_attn.batching import pad_rows

    return pad_rows([row[:-1] for row in tokens], 8), pad_rows([row[1:] for row in tokens], 8)
