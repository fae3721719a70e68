"""Stacks through which padding leaks in plain Keras, beside the same with keras_attn.

    python docs/mask_leaks.py [--write]

Each stack reads two sentences, the second padded; then the vector at padded positions is
changed. The figure is how much an output at an unpadded position changes: 0 is
correct. `--write` puts the table into docs/pages/masks.md.
"""

import argparse
import pathlib
import re
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers

import keras_attn

PAGE = pathlib.Path(__file__).parent / "pages" / "masks.md"
SIZE, HEADS = 16, 2
TOKENS = np.array([[3, 1, 2, 4, 1, 2], [2, 1, 4, 0, 0, 0]])
PADDING_MASK = TOKENS != 0

Stack = Callable[[Any], Any]


def keras_attention() -> Stack:
    layer = layers.MultiHeadAttention(HEADS, SIZE // HEADS)
    return lambda x: layer(x, x)


def our_attention() -> Stack:
    layer = keras_attn.layers.MultiHeadAttention(HEADS, SIZE // HEADS)
    return lambda x: layer(x, x, padding_mask=PADDING_MASK)


def keras_block(add: Callable[[Any, Any], Any]) -> Stack:
    """A post-norm Transformer block, as tutorials write it."""
    attention = keras_attention()
    first, second = layers.LayerNormalization(), layers.LayerNormalization()
    hidden, output = layers.Dense(2 * SIZE, activation="relu"), layers.Dense(SIZE)

    def block(x: Any) -> Any:
        x = first(add(x, attention(x)))
        return second(add(x, output(hidden(x))))

    return block


def our_block() -> Stack:
    block = keras_attn.layers.TransformerEncoderBlock(HEADS, 2 * SIZE, normalize_first=False)
    return lambda x: block(x, padding_mask=PADDING_MASK)


def in_turn(*stacks: Stack) -> Stack:
    def run(x: Any) -> Any:
        for stack in stacks:
            x = stack(x)
        return x

    return run


def side_by_side(*stacks: Stack) -> Stack:
    return lambda x: np.concatenate([stack(x) for stack in stacks], axis=-1)


def add_by_layer(x: Any, y: Any) -> Any:
    return layers.Add()([x, y])


def add_by_plus(x: Any, y: Any) -> Any:
    return x + y


def cases() -> dict[str, tuple[Stack, Stack]]:
    """Return the stacks by description, in plain Keras and with our layers."""
    return {
        "two post-norm blocks, `Add()([x, y])`": (
            in_turn(keras_block(add_by_layer), keras_block(add_by_layer)),
            in_turn(our_block(), our_block()),
        ),
        "two post-norm blocks, `x + y`": (
            in_turn(keras_block(add_by_plus), keras_block(add_by_plus)),
            in_turn(our_block(), our_block()),
        ),
        "two attention layers that read one tensor": (
            side_by_side(keras_attention(), keras_attention()),
            side_by_side(our_attention(), our_attention()),
        ),
        "an attention layer called inside a `tf.function`": (
            tf.function(keras_attention()),
            tf.function(our_attention()),
        ),
    }


def leak(stack: Stack) -> float:
    """Return how much an output at an unpadded position changes with the values of padding."""
    embedding = layers.Embedding(5, SIZE, mask_zero=True)  # whose output has a mask
    before = np.asarray(stack(embedding(TOKENS)))
    table = embedding.get_weights()[0]
    table[0] = 5.0
    embedding.set_weights([table])
    return float(np.abs(np.asarray(stack(embedding(TOKENS))) - before)[PADDING_MASK].max())


def table() -> str:
    """The Markdown table of all cases."""
    keras.utils.set_random_seed(0)
    rows = [f"| stack | Keras {keras.__version__} | keras_attn |", "|---|---|---|"]
    for name, stacks in cases().items():
        rows.append(f"| {name} | " + " | ".join(f"{leak(stack):.3g}" for stack in stacks) + " |")
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="put the table into masks.md")
    arguments = parser.parse_args()
    rows = table()
    print(rows)
    if arguments.write:
        page = PAGE.read_text(encoding="utf-8")
        section = f"<!-- leaks: generated -->\n\n{rows}\n\n<!-- leaks: end -->"
        pattern = r"<!-- leaks: generated -->.*<!-- leaks: end -->"
        PAGE.write_text(re.sub(pattern, section, page, flags=re.S), encoding="utf-8")


if __name__ == "__main__":
    main()
