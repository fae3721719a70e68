"""The result of decoding."""

from typing import NamedTuple

from keras_attn._types import Tensor


class Hypotheses(NamedTuple):
    """The `n` best complete sequences of each row, best first.

    If a row has fewer than `n`, the others consist of padding, with log-probability and score
    `-inf`.

    Attributes:
        ids: int32 `(B, n, max_length + 1)`, the tokens after the start token, including the
            end token, padded.
        log_probabilities: float32 `(B, n)`, the sum of the model's natural log-probabilities of
            these tokens, including the end token.
        scores: float32 `(B, n)`, by which sequences are ranked: the log-probability divided by
            `((5 + tokens) / 6) ** length_penalty` (Wu et al., arXiv:1609.08144), where the
            number of tokens includes the end token.
    """

    ids: Tensor
    log_probabilities: Tensor
    scores: Tensor
