"""Versions of the rules by which texts are normalized and split into words."""

from typing import Any, Literal

Rules = Literal[1, 2]

CURRENT: Rules = 2
FIRST: Rules = 1  # of models saved by version 0.1, which do not name their rules


def check_rules(rules: Any) -> None:
    """Raise ValueError unless `rules` is a version of the rules."""
    if isinstance(rules, bool) or rules not in (FIRST, CURRENT):
        raise ValueError(
            f"`rules` must be {CURRENT}, the current version, or {FIRST}, that of models saved by "
            f"keras_attn 0.1. Received: {rules!r}."
        )
