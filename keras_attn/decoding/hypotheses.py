"""What decoding returns."""

from typing import Any, NamedTuple

Tensor = Any


class Hypotheses(NamedTuple):
    """The `n` sequences found for every row, best first.

    Every one is complete. Where fewer than `n` exist, the others are all padding, with
    log-probability and score `-inf`.

    Attributes:
        ids: int32 `(B, n, max_length + 1)`, the tokens after the start token with the end
            token, padded.
        log_probabilities: float32 `(B, n)`, the sum of the model's natural
            log-probabilities of these tokens, the end token's included.
        scores: float32 `(B, n)`, what they are ranked by: the log-probability over
            `((5 + tokens) / 6) ** length_penalty` (Wu et al., arXiv:1609.08144), where the
            end token counts as one.
    """

    ids: Tensor
    log_probabilities: Tensor
    scores: Tensor
