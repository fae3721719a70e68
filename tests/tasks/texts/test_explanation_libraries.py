"""LIME and SHAP explain text models without adapters: `probabilities` is the function they call."""

import numpy as np
import pytest

import keras_attn

pytestmark = [pytest.mark.tensorflow, pytest.mark.slow]
TEXT = "thin plot, superb acting"


@pytest.fixture(scope="module")
def model():
    return keras_attn.build("imdb_ngram_attention")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_lime(model):
    lime = pytest.importorskip("lime.lime_text")
    explainer = lime.LimeTextExplainer(class_names=list(model.label_names), random_state=0)
    weights = dict(explainer.explain_instance(TEXT, model.probabilities, num_samples=100).as_list())
    assert max(weights, key=lambda word: weights[word]) == "superb"
    assert weights["superb"] > 0


@pytest.mark.filterwarnings("ignore")
def test_shap(model):
    shap = pytest.importorskip("shap")
    explainer = shap.Explainer(
        model.probabilities, shap.maskers.Text(r"\W+"), output_names=list(model.label_names)
    )
    explanation = explainer([TEXT], silent=True)
    positive = model.label_names.index("positive")
    values = explanation.values[0][:, positive]
    assert explanation.data[0][int(np.argmax(values))].strip() == "superb"
    # The values add up to the probability, which shows that it is this model's.
    total = explanation.base_values[0][positive] + values.sum()
    assert total == pytest.approx(model.probabilities([TEXT])[0, positive], abs=1e-4)
