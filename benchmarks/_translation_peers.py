"""The contenders of `benchmarks/translation.py`, each for a process of its own.

Nothing heavy is imported but by the contender that needs it: the SavedModel runs where Keras
and keras_attn are not.
"""

import functools
import importlib.metadata
import os
import pathlib
import statistics
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

BEAMS = (1, 4)
SENTENCES = {1: 48, 32: 256}  # how many are translated, by the size of a batch
CORES = 2
PADDING_ID, START_ID, END_ID = 0, 1, 2
ROOM = 8  # tokens that our translations may have beyond twice those of their source
ENOUGH = 0.95  # of the translations must be those of our model, where all else is the same


class Task(NamedTuple):
    """The sentences to translate, and the translations of our model."""

    folder: pathlib.Path  # of `translator.keras`, `weights.npz`, `saved_model_1` and so on
    texts: list[str]
    source_ids: list[list[int]]  # the end included
    translations: dict[int, list[str]]  # by the number of beams
    written_ids: dict[int, list[list[int]]]  # likewise; the end included
    max_length: int  # most subwords of a translation


class Contender(NamedTuple):
    """A model that translates with a certain number of beams."""

    translate: Callable[[slice], list[Any]]  # some of the sentences: texts, or lists of ids
    expected: list[Any] | None  # what all sentences should become
    must_agree: bool = True
    writes_ids: bool = False  # and so its own tokens can be counted


class Entrant:
    """A contender with all numbers of beams, for a process of its own.

    Args:
        name: a key of `CONTENDERS`.
        task: what to translate.
        peers: folder with further packages.
    """

    def __init__(self, name: str, task: Task, peers: str) -> None:
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
        sys.path.append(peers)
        self.name, self.task, self.unavailable = name, task, ""
        try:
            self.contenders = {beams: CONTENDERS[name](task, beams) for beams in BEAMS}
        except ImportError as error:
            self.unavailable = f"{type(error).__name__}: {error}"

    def versions(self) -> dict[str, str]:
        """Those of its packages."""
        return {x: importlib.metadata.version(x) for x in PACKAGES.get(self.name, ())}

    def why_unavailable(self) -> str:
        """Empty where it can translate."""
        return self.unavailable

    def translate_all(self, batch: int, beams: int) -> None:
        """One pass over the sentences that are for this size of a batch."""
        self._answers(batch, beams)

    def first_pass(self, batch: int, beams: int) -> dict[str, Any]:
        """Return the translations of one pass, which also warms up."""
        contender, task = self.contenders[beams], self.task
        answers, agreement = self._answers(batch, beams), None
        if contender.expected is not None:
            pairs = zip(answers, contender.expected, strict=False)
            agreement = statistics.mean(answer == expected for answer, expected in pairs)
            if contender.must_agree and agreement < ENOUGH:
                raise RuntimeError(f"Only {agreement:.1%} of its translations are our model's.")
        count = len(answers)
        written = answers if contender.writes_ids else task.written_ids[beams][:count]
        return {"sentences": count, "tokens": sum(map(len, written)), "agreement": agreement}

    def _answers(self, batch: int, beams: int) -> list[Any]:
        count = min(SENTENCES[batch], len(self.task.texts))
        some = (slice(start, min(start + batch, count)) for start in range(0, count, batch))
        return [answer for rows in some for answer in self.contenders[beams].translate(rows)]


# Ours.


def python_model(task: Task, beams: int) -> Contender:
    """`Translator.translate`."""
    translator = _translator(task)

    def translate(rows: slice) -> list[str]:
        return [found.text for found in translator.translate(task.texts[rows], beams)]

    return Contender(translate, task.translations[beams])


def saved_model(task: Task, beams: int) -> Contender:
    """The exported model, where neither Keras nor keras_attn can be imported."""
    sys.modules["keras"] = sys.modules["keras_attn"] = None  # type: ignore[assignment]
    import tensorflow as tf

    model = tf.saved_model.load(str(task.folder / f"saved_model_{beams}"))

    def translate(rows: slice) -> list[str]:
        found = model.signatures["serving_default"](texts=tf.constant(task.texts[rows]))
        return [text.decode("utf-8") for text in found["text"].numpy()]

    return Contender(translate, task.translations[beams])


def whole_model(task: Task, beams: int) -> Contender:
    """Our translator and its search, each step of which is a call of the whole model.

    As in the example of keras.io: encoder and decoder read source and target anew, the target
    padded to the longest that it may become.
    """
    return _stepping(task, beams, _whole_model)


def no_cache(task: Task, beams: int) -> Contender:
    """Our translator and its search, each step of which decodes all that is written so far."""
    return _stepping(task, beams, _without_cache)


def _stepping(task: Task, beams: int, make_steps: Callable[[Any], Any]) -> Contender:
    from keras_attn.tasks.translation._search import Searches

    translator = _translator(task)
    translator._searches = Searches(make_steps(translator.network))

    def translate(rows: slice) -> list[str]:
        return [found.text for found in translator.translate(task.texts[rows], beams)]

    return Contender(translate, task.translations[beams])


def _translator(task: Task) -> Any:
    import keras_attn

    return keras_attn.load(task.folder / "translator.keras")


def _whole_model(network: Any) -> Any:
    """A `StepModel` of a network, whose state is what the whole of it reads."""
    from keras import ops

    from keras_attn.ops import gather_beams

    class WholeModel:
        variables = network.variables
        padding_mask = staticmethod(network.padding_mask)

        def start(self, source: Any, num_beams: int, length: Any) -> dict[str, Any]:
            return {
                "source": source,
                "target": ops.zeros((ops.shape(source)[0], num_beams, length), "int32"),
            }

        def step(self, ids: Any, state: dict[str, Any], index: Any) -> tuple[Any, Any]:
            source, num_beams = state["source"], ids.shape[1]
            length = ops.shape(state["target"])[2]
            target = ops.where(ops.arange(length) == index, ids[..., None], state["target"])
            logits = network(
                {
                    "source": ops.repeat(source, num_beams, axis=0),
                    "target": ops.reshape(target, (-1, length)),
                },
                training=False,
            )
            logits = ops.take(logits, index, axis=1)
            shape = (-1, num_beams, logits.shape[-1])
            return ops.reshape(logits, shape), {**state, "target": target}

        def reorder(self, state: dict[str, Any], parents: Any) -> dict[str, Any]:
            return {**state, "target": gather_beams(state["target"], parents)}

    return WholeModel()


def _without_cache(network: Any) -> Any:
    """A `StepModel` of a network, whose state is the memory and the ids."""
    from keras import ops

    from keras_attn.ops import gather_beams

    class WithoutCache:
        variables = network.variables
        padding_mask = staticmethod(network.padding_mask)

        def start(self, source: Any, num_beams: int, length: Any) -> dict[str, Any]:
            memory, padding_mask = network.encode(source, training=False)
            return {
                "ids": ops.zeros((ops.shape(source)[0], num_beams, length), "int32"),
                "memory": ops.repeat(memory[:, None], num_beams, axis=1),
                "padding_mask": ops.repeat(padding_mask[:, None], num_beams, axis=1),
            }

        def step(self, ids: Any, state: dict[str, Any], index: Any) -> tuple[Any, Any]:
            places = ops.arange(ops.shape(state["ids"])[2])
            written = ops.where(places == index, ids[..., None], state["ids"])
            target = ops.reshape(written[:, :, : index + 1], (-1, index + 1))
            memory = ops.reshape(state["memory"], (-1, *ops.shape(state["memory"])[2:]))
            padding_mask = state["padding_mask"]
            padding_mask = ops.reshape(padding_mask, (-1, ops.shape(padding_mask)[2]))
            states = network.decode(target, memory, padding_mask, training=False)[:, -1]
            logits = network.logits(states)
            shape = (-1, ids.shape[1], logits.shape[-1])
            return ops.reshape(logits, shape), {**state, "ids": written}

        def reorder(self, state: dict[str, Any], parents: Any) -> dict[str, Any]:
            return {**state, "ids": gather_beams(state["ids"], parents)}

    return WithoutCache()


# Peers.


def huggingface(task: Task, beams: int) -> Contender:
    """Marian of our shape; each batch writes as many tokens as our longest translation of it."""
    import torch
    from transformers import MarianConfig, MarianMTModel

    torch.set_num_threads(CORES)
    torch.manual_seed(0)
    with np.load(task.folder / "weights.npz") as weights:
        vocabulary_size, dim = weights["embedding/embeddings"].shape
        intermediate_dim = weights["encoder_1/feed_forward_in/bias"].size
        layers = {x: _count_layers(weights, x) for x in ("encoder", "decoder")}
        num_heads = len(weights["encoder_1/attention/query/bias"])
    shape = {}
    for stack, count in layers.items():
        shape[f"{stack}_layers"] = count
        shape[f"{stack}_attention_heads"] = num_heads
        shape[f"{stack}_ffn_dim"] = intermediate_dim
    config = MarianConfig(
        vocab_size=vocabulary_size,
        d_model=dim,
        activation_function="relu",
        scale_embedding=True,
        max_position_embeddings=512,
        pad_token_id=PADDING_ID,
        eos_token_id=END_ID,
        decoder_start_token_id=START_ID,
        forced_eos_token_id=None,
        **shape,
    )
    model = MarianMTModel(config).eval()

    @torch.inference_mode()
    def translate(rows: slice) -> list[list[int]]:
        sources = task.source_ids[rows]
        longest = max(map(len, sources))
        ids = torch.tensor([row + [PADDING_ID] * (longest - len(row)) for row in sources])
        length = max(map(len, task.written_ids[beams][rows]))
        return model.generate(
            input_ids=ids,
            attention_mask=(ids != PADDING_ID).long(),
            num_beams=beams,
            do_sample=False,
            use_cache=True,
            min_new_tokens=length,
            max_new_tokens=length,
        ).tolist()

    return Contender(translate, None)


def ctranslate2(task: Task, beams: int) -> Contender:
    """CTranslate2 with our weights."""
    model = _ctranslate2_model(task.folder)
    tokens = [list(map(str, ids)) for ids in task.source_ids]

    def translate(rows: slice) -> list[list[int]]:
        longest = max(map(len, tokens[rows]))
        found = model.translate_batch(
            tokens[rows],
            beam_size=beams,
            max_decoding_length=min(2 * longest + ROOM, task.max_length),
            disable_unk=True,  # here padding, which ours never writes either
            suppress_sequences=[[str(START_ID)]],
        )
        return [[*map(int, result.hypotheses[0]), END_ID] for result in found]

    # Among beams it ranks with another length penalty.
    exact = beams == 1
    return Contender(translate, task.written_ids[beams], must_agree=exact, writes_ids=True)


@functools.cache  # the threads of a second model would wait in a loop, and take the cores
def _ctranslate2_model(folder: pathlib.Path) -> Any:
    from ctranslate2 import Translator

    from keras_attn.export import write_ctranslate2

    path = folder / "ctranslate2"
    if not path.exists():
        with np.load(folder / "weights.npz") as arrays:
            weights = dict(arrays)
        write_ctranslate2(path, weights, weights.pop("positions"))
    return Translator(
        str(path), "cpu", compute_type="float32", inter_threads=1, intra_threads=CORES
    )


def _count_layers(weights: Any, stack: str) -> int:
    return len([path for path in weights if path.startswith(stack) and path.endswith("_in/bias")])


CONTENDERS: dict[str, Callable[[Task, int], Contender]] = {
    "keras_attn": python_model,
    "saved_model": saved_model,
    "no_cache": no_cache,
    "whole_model": whole_model,
    "huggingface": huggingface,
    "ctranslate2": ctranslate2,
}
PACKAGES = {
    "huggingface": ("torch", "transformers"),
    "ctranslate2": ("ctranslate2",),
}
