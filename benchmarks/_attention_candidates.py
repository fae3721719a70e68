"""The cases of the attention benchmark, and what computes them; runs in measuring processes."""

import dataclasses
import math
import statistics
import unittest.mock
from collections.abc import Callable
from typing import Any

import numpy as np
from _measure import (
    OUT_OF_MEMORY,
    Call,
    ProcessMemory,
    cores,
    is_out_of_memory,
    limit_memory,
    median_ratio,
    take_turns,
    timed,
)

CANDIDATES = {
    "auto": "ours, auto",
    "full": "ours, full",
    "chunked": "ours, chunked",
    "keras": "`keras.ops`",
    "torch": "PyTorch",
    "layer": "our layer",
    "keras_layer": "Keras's layer",
    "map": "`SelfAttention2D`",
}
PEERS = {"auto": "keras", "full": "keras", "chunked": "keras", "layer": "keras_layer"}


@dataclasses.dataclass(frozen=True)
class Case:
    """One problem: `batch x heads` of `queries x keys`, or the layer over as many features."""

    name: str
    queries: int
    keys: int
    batch: int = 1
    heads: int = 4
    head_dim: int = 64
    dtype: str = "float32"
    is_causal: bool = False
    padding: bool = False
    dropout: float = 0.0

    @property
    def scores(self) -> int:
        return self.batch * self.heads * self.queries * self.keys

    @property
    def tiny(self) -> "Case":
        return dataclasses.replace(self, queries=16, keys=16, batch=1)


# What a measuring process is asked for.


def measure_time(case: Case, what: str, names: list[str], seconds: float) -> list[dict]:
    """A row for each candidate of a pass; `names` are all of PyTorch, or all of TensorFlow."""
    limit_memory()
    tools = _Torch() if "torch" in names else _TensorFlow()
    times, failures = take_turns({name: tools.call(case, name, what) for name in names}, seconds)
    rows = []
    for name in names:
        row = {"candidate": name, "pass": what}
        rows.append(row)
        if name in failures:
            row["failure"] = failures[name]
            continue
        row["rounds"] = len(times[name])
        row["seconds"] = statistics.median(times[name])
        row["quartiles"] = [float(q) for q in np.quantile(times[name], (0.25, 0.75))]
        if PEERS.get(name) in times:
            row["to_peer"] = median_ratio(times[name], times[PEERS[name]])
        if name == "chunked":
            row["auto"] = _path_of_auto(case)
            if "full" in times:
                row["to_full"] = median_ratio(times[name], times["full"])
    return rows


def measure_memory(case: Case, what: str, name: str) -> dict:
    """The extra memory of the first call, whose libraries a tiny one has loaded; its time."""
    limit_memory()
    tools = _Torch() if name == "torch" else _TensorFlow()
    row = {"candidate": name, "pass": what}
    try:
        tools.call(case.tiny, name, what)()
        call = tools.call(case, name, what)
        memory = tools.memory()
        memory.start()
        seconds = timed(call)
        return {**row, "bytes": memory.peak(), "seconds": seconds}
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        return {**row, "failure": OUT_OF_MEMORY}


def describe() -> dict[str, Any]:
    """Return the origin of the numbers, and the sizes at which `auto` changes paths."""
    from keras_attn.ops import dispatch
    from keras_attn.training.provenance import provenance

    sizes = {name: size for name, size in vars(dispatch).items() if name.endswith("CROSSOVER")}
    return {**provenance(), "threads": cores(), "crossovers": sizes}


# TensorFlow: ours, and Keras's.


class _TensorFlow:
    """Functions compiled by `tf.function`, without XLA."""

    def __init__(self) -> None:
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(cores())
        tf.config.threading.set_inter_op_parallelism_threads(cores())
        self.gpu = bool(tf.config.list_physical_devices("GPU"))
        for device in tf.config.list_physical_devices("GPU"):
            tf.config.experimental.set_memory_growth(device, True)

    def memory(self) -> Any:
        return _TensorFlowGPUMemory() if self.gpu else ProcessMemory()

    def call(self, case: Case, name: str, what: str) -> Call:
        """A pass of a candidate, traced."""
        import tensorflow as tf

        build = {"map": _map, "layer": _layer, "keras_layer": _layer}.get(name, _op)
        function, shapes, weights = build(case, name, what == "training")
        cotangent, *inputs = (
            tf.cast(_drawn(seed, shape), case.dtype)
            for seed, shape in enumerate([shapes[0], *shapes])
        )

        def forward(cotangent: Any, *inputs: Any) -> Any:
            return function(*inputs)

        def training(cotangent: Any, *inputs: Any) -> Any:
            with tf.GradientTape() as tape:
                tape.watch(inputs)
                output = function(*inputs)
            cotangent = tf.cast(cotangent, output.dtype)
            return tape.gradient(output, [*inputs, *weights], cotangent)

        step = tf.function({"forward": forward, "training": training}[what])
        step.get_concrete_function(cotangent, *inputs)

        def call() -> None:
            step(cotangent, *inputs)
            tf.test.experimental.sync_devices()

        return call


class _TensorFlowGPUMemory:
    def start(self) -> None:
        import tensorflow as tf

        tf.config.experimental.reset_memory_stats("GPU:0")
        self.before = tf.config.experimental.get_memory_info("GPU:0")["current"]

    def peak(self) -> int:
        import tensorflow as tf

        return tf.config.experimental.get_memory_info("GPU:0")["peak"] - self.before


Built = tuple[Callable[..., Any], list[tuple[int, ...]], list]


def _op(case: Case, name: str, training: bool) -> Built:
    import keras

    from keras_attn.ops import attention, padding_mask

    mask = padding_mask(_real(case)) if case.padding else None

    def function(query: Any, key: Any, value: Any) -> Any:
        arguments = {"mask": mask, "is_causal": case.is_causal}
        if name == "keras":
            return keras.ops.dot_product_attention(query, key, value, **arguments)
        return attention(query, key, value, **arguments, implementation=name)

    query, key = ((case.batch, n, case.heads, case.head_dim) for n in (case.queries, case.keys))
    return function, [query, key, key], []


def _path_of_auto(case: Case) -> str:
    """The path that `auto` takes, which tracing it tells."""
    import tensorflow as tf

    from keras_attn.ops import chunked

    function, shapes, _ = _op(case, "auto", False)
    specs = [tf.TensorSpec(shape, case.dtype) for shape in shapes]
    with unittest.mock.patch.object(
        chunked, "chunked_attention", side_effect=lambda call, *_: call.query
    ):
        tf.function(function).get_concrete_function(*specs)
        return "chunked" if chunked.chunked_attention.called else "full"


def _layer(case: Case, name: str, training: bool) -> Built:
    import keras

    from keras_attn.layers import MultiHeadAttention

    features = case.heads * case.head_dim
    policy = case.dtype if case.dtype == "float32" else f"mixed_{case.dtype}"
    settings = {"dropout": case.dropout, "seed": 0, "dtype": policy}
    keras.utils.set_random_seed(0)
    layer = keras.layers.MultiHeadAttention(case.heads, case.head_dim, **settings)
    query, value = ((case.batch, n, features) for n in (case.queries, case.keys))
    layer.build(query, value)
    arguments = {"use_causal_mask": case.is_causal, "training": training}
    if name == "layer":
        layer = MultiHeadAttention.from_keras(layer)
        arguments["padding_mask"] = _real(case) if case.padding else None
    else:
        arguments["attention_mask"] = _real(case)[:, None] if case.padding else None

    def function(query: Any, value: Any = None) -> Any:
        return layer(query, query if value is None else value, **arguments)

    shapes = [query] if case.name != "cross" else [query, value]
    return function, shapes, layer.trainable_variables


def _map(case: Case, name: str, training: bool) -> Built:
    from keras_attn.layers import SelfAttention2D

    side = math.isqrt(case.queries)
    layer = SelfAttention2D(num_heads=case.heads)
    shape = (case.batch, side, side, case.head_dim)
    layer.build(shape)
    return lambda x: layer(x, training=training), [shape], layer.trainable_variables


# PyTorch.


class _Torch:
    """`scaled_dot_product_attention`, in the layout that it wants."""

    def __init__(self) -> None:
        import torch

        torch.set_num_threads(cores())
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        torch.backends.cuda.matmul.allow_tf32 = True  # as TensorFlow does on a GPU

    def memory(self) -> Any:
        return _TorchGPUMemory() if self.device == "cuda" else ProcessMemory()

    def call(self, case: Case, name: str, what: str) -> Call:
        """A pass; without gradients, if it is forward alone."""
        import torch

        def tensor(seed: int, length: int) -> Any:
            drawn = _drawn(seed, (case.batch, case.heads, length, case.head_dim))
            return torch.tensor(drawn, dtype=getattr(torch, case.dtype), device=self.device)

        lengths = case.queries, case.queries, case.keys, case.keys
        cotangent, *inputs = (tensor(seed, length) for seed, length in enumerate(lengths))
        arguments = {"is_causal": case.is_causal}
        if case.padding:
            mask = _real(case)[:, None, None]
            arguments["attn_mask"] = torch.tensor(mask, device=self.device)
        for x in inputs:
            x.requires_grad_(what == "training")

        def call() -> None:
            with torch.set_grad_enabled(what == "training"):
                output = torch.nn.functional.scaled_dot_product_attention(*inputs, **arguments)
                if what == "training":
                    torch.autograd.grad(output, inputs, cotangent)
            if self.device == "cuda":
                torch.cuda.synchronize()

        return call


class _TorchGPUMemory:
    def start(self) -> None:
        import torch

        torch.cuda.reset_peak_memory_stats()
        self.before = torch.cuda.memory_allocated()

    def peak(self) -> int:
        import torch

        return torch.cuda.max_memory_allocated() - self.before


def _drawn(seed: int, shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape, "float32")


def _real(case: Case) -> np.ndarray:
    """`(B, S)`: sequences of every length from half of the keys to all of them."""
    lengths = np.linspace(case.keys / 2, case.keys, case.batch).astype(int)
    return np.arange(case.keys) < lengths[:, None]
