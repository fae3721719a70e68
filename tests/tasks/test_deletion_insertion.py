"""Deletion and insertion curves."""

import numpy as np
import pytest

from keras_attn.tasks.deletion_insertion import (
    FRACTIONS,
    ExplainedInput,
    area_under_curve,
    deletion_insertion_curves,
)

WEIGHTS = np.array([0.5, 0.05, 0.3, 0.15])


def case(agreement=None):
    scores = {"exact": WEIGHTS, "reverse": -WEIGHTS}
    return ExplainedInput(scores, lambda present: present @ WEIGHTS, agreement or {})


def test_parts_are_removed_and_added_in_the_order_of_the_scores():
    methods = deletion_insertion_curves([case()])["methods"]
    quarter = FRACTIONS.index(0.25)
    assert methods["exact"]["deletion"][0] == methods["exact"]["insertion"][-1] == 1.0
    assert methods["exact"]["deletion"][-1] == methods["exact"]["insertion"][0] == 0.0
    assert methods["exact"]["deletion"][quarter] == pytest.approx(0.5)
    assert methods["exact"]["insertion"][quarter] == pytest.approx(0.5)
    assert methods["reverse"]["deletion"][quarter] == pytest.approx(0.95)
    for key, sign in (("deletion", 1), ("insertion", -1)):
        means = [
            sign * area_under_curve(methods[name][key]) for name in ("exact", "random", "reverse")
        ]
        assert means == sorted(means)


def test_agreement_is_a_mean_over_the_inputs_that_have_one():
    result = deletion_insertion_curves(
        [case({"exact": 0.5}), case({"exact": None}), case({"exact": 0.1})]
    )
    assert result["examples"] == 3
    assert result["methods"]["exact"]["agreement"] == pytest.approx(0.3)
    assert "agreement" not in result["methods"]["reverse"]


def test_methods_that_an_input_lacks_are_left_out():
    other = ExplainedInput({"exact": WEIGHTS}, lambda present: present @ WEIGHTS, {})
    assert set(deletion_insertion_curves([case(), other])["methods"]) == {"exact", "random"}
    assert deletion_insertion_curves([]) == {}
