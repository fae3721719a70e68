"""Deletion and insertion curves: whether explanations rank the parts of an input by their effect.

Petsiuk et al. (arXiv:1806.07421): the parts of an input are removed in the order of an explanation,
the most important first, and the probability of the label is recorded. A faithful order makes it
fall at once, so that the mean under the curve is small. Insertion begins without any part, and adds
them in the same order; there the mean is large. A random order is the baseline.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

FRACTIONS = tuple(step / 16 for step in range(17))
RANDOM = "random"
# Titles of methods in cards. Others are names of layers, or good titles as they are.
TITLES = {
    "leave_one_out": "leave-one-out",
    "gradient_times_input": "gradient times input",
    "grad_cam": "Grad-CAM",
    "rollout": "attention rollout",
    RANDOM: "random order",
}


class ExplainedInput(NamedTuple):
    """An explained input.

    Attributes:
        scores: For each method a float array `(U,)`, the importance of each part.
        probabilities: Function from boolean arrays `(N, U)`, True where a part is present, to the
            probabilities `(N,)` of the explained label.
        agreement: The rank correlation of methods with leaving parts out.
    """

    scores: Mapping[str, np.ndarray]
    probabilities: Callable[[np.ndarray], np.ndarray]
    agreement: Mapping[str, float | None]


def deletion_insertion_curves(cases: Iterable[ExplainedInput], seed: int = 0) -> dict[str, Any]:
    """Return the mean deletion and insertion curves of each method over inputs.

    Args:
        cases: The explained inputs. Methods that not all of them have are left out.
        seed: Seed of the random order of each input.

    Returns:
        The number of `examples`, the `fractions` of parts that are removed or added, and for each
        of the `methods` its curves `deletion` and `insertion`, and the mean of its `agreement`
        over the inputs that have one. Empty without inputs.

    Example:

    >>> weights = np.array([0.7, 0.2, 0.1, 0.0])
    >>> case = ExplainedInput({"exact": weights}, lambda present: present @ weights, {})
    >>> result = deletion_insertion_curves([case])["methods"]
    >>> [round(area_under_curve(result["exact"][key]), 2) for key in ("deletion", "insertion")]
    [0.24, 0.76]
    """
    rng = np.random.default_rng(seed)
    sums: dict[str, list[np.ndarray]] = {}
    agreement: dict[str, list[float]] = {}
    count = 0
    for case in cases:
        count += 1
        parts = len(next(iter(case.scores.values())))
        scores = {**case.scores, RANDOM: rng.random(parts)}
        # Of equal scores the first comes first.
        ranks = {
            name: np.argsort(np.argsort(-each, kind="stable")) for name, each in scores.items()
        }
        limits = np.round(np.array(FRACTIONS) * parts)[:, None]
        present = [part for rank in ranks.values() for part in (rank >= limits, rank < limits)]
        values = case.probabilities(np.concatenate(present)).reshape(len(ranks), 2, -1)
        for name, value in zip(ranks, values, strict=True):
            sums.setdefault(name, []).append(value)
        for name, correlation in case.agreement.items():
            if correlation is not None:
                agreement.setdefault(name, []).append(correlation)
    methods = {}
    for name, each in sums.items():
        if len(each) == count:
            deletion, insertion = np.mean(each, axis=0).round(5).tolist()
            methods[name] = {"deletion": deletion, "insertion": insertion}
            if name in agreement:
                methods[name]["agreement"] = round(float(np.mean(agreement[name])), 4)
    if not count:
        return {}
    return {"examples": count, "fractions": list(FRACTIONS), "methods": methods}


def area_under_curve(curve: list[float]) -> float:
    """Return the mean under a curve over `FRACTIONS`, by the trapezoidal rule."""
    return float(np.trapezoid(curve, FRACTIONS))


def method_title(name: str) -> str:
    """Return the name of a method of explanation as text.

    Example:

    >>> method_title("leave_one_out"), method_title("block_1")
    ('leave-one-out', 'block_1')
    """
    return TITLES.get(name, name)
