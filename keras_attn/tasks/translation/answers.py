"""What a translator answers with."""

import dataclasses
from typing import Any, NamedTuple

import numpy as np


class Translation(NamedTuple):
    """A translation.

    Attributes:
        text: the text.
        score: its log-probability by the model, in nats, that of its end included; 0 for the
            empty translation of a text without words.
    """

    text: str
    score: float


@dataclasses.dataclass(frozen=True)
class Alignment:
    """Which subwords of a source a translation attended to, and all other attention.

    Attributes:
        source_tokens: the `S` subwords of the source, the last its end.
        target_tokens: the `T` subwords of the translation, the last its end. Row `t` of the
            attention of a decoder is that with which token `t` was chosen.
        cross: float32 `(layers, heads, T, S)`, from the translation to the source.
        encoder: float32 `(layers, heads, S, S)`, within the source; None where the model
            has no such attention.
        decoder: float32 `(layers, heads, T, T)`, within the translation so far: column `t`
            is the token before token `t`, the first the start; None as above.
    """

    source_tokens: tuple[str, ...]
    target_tokens: tuple[str, ...]
    cross: np.ndarray
    encoder: np.ndarray | None = None
    decoder: np.ndarray | None = None

    def attention(self, stage: str = "cross") -> tuple[np.ndarray, list[str], list[str]]:
        """The weights of a stage, and the tokens of its rows and columns.

        Args:
            stage: `"cross"`, `"encoder"` or `"decoder"`.

        Raises:
            ValueError: there is no such stage, or the model has no such attention.
        """
        source, target = list(self.source_tokens), list(self.target_tokens)
        labels: dict[str, tuple[list[str], list[str]]] = {
            "cross": (target, source),
            "encoder": (source, source),
            "decoder": (target, [START, *target[:-1]]),
        }
        weights: Any = getattr(self, stage, None) if stage in labels else None
        if weights is None:
            there = [name for name in labels if getattr(self, name) is not None]
            raise ValueError(
                f"`stage` must be one of {', '.join(map(repr, there))}. Received: {stage!r}."
            )
        return weights, *labels[stage]


START, END = "<start>", "<end>"
