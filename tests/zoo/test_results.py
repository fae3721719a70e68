"""results.json and record.json that are damaged or hostile: an error that names them."""

import copy
import json
import shutil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_attn import zoo
from keras_attn.recipes import describe_task
from keras_attn.recipes.figures import wilson_interval
from keras_attn.tasks._classification_cards import difference_interval
from keras_attn.zoo import cards, publishing, registry
from tests.zoo.catalogues import registering

NAME = "shapes_mine"
SOURCE = zoo.describe("shapes_small_attention_cnn").folder


@pytest.fixture(scope="module")
def entry(tmp_path_factory):
    """A copy of an entry, whose results are changed."""
    folder = tmp_path_factory.mktemp("catalogue") / NAME
    shutil.copytree(SOURCE, folder)
    with registering(folder):
        yield registry.Entry(NAME, folder)


def write(entry, content):
    text = content if isinstance(content, bytes) else json.dumps(content).encode()
    (entry.folder / "results.json").write_bytes(text)


def published():
    return json.loads((SOURCE / "results.json").read_text())


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        (("weights", "file"), "../shapes_other/model.weights.h5"),
        (("weights", "file"), "/etc/passwd"),
        (("weights", "file"), "..\\model.weights.h5"),
        (("weights", "file"), "C:model.weights.h5"),
        (("weights", "file"), ".."),
        (("weights", "file"), ""),
        (("weights", "file"), "a\x00b"),
        (("weights", "file"), 3),
        (("weights", "sha256"), "0"),
        (("weights", "sha256"), None),
        (("weights", "parameters"), "many"),
        (("weights",), []),
        (("runs",), {"a": 1}),
        (("runs",), [3]),
        (("runs", 0, "variant"), None),
        (("runs", 0, "seed"), "0"),
        (("runs", 0, "metrics"), []),
        (("runs", 0, "metrics", "test"), 1),
        (("runs", 0, "metrics", "test"), {}),
        (("runs", 0, "metrics", "validation", "accuracy"), "0.9"),
        (("runs", 0, "hardware", "accelerators"), None),
        (("vocabulary",), {"file": "../vocabulary.txt", "sha256": "0" * 64, "bytes": 1}),
        (("vocabulary",), "vocabulary.txt"),
    ],
)
def test_hostile_results_are_refused_by_file_and_key(entry, keys, value):
    content = published()
    *parents, last = keys
    part = content
    for key in parents:
        part = part[key]
    part[last] = value
    write(entry, content)
    with pytest.raises(ValueError, match=rf"results\.json.*{last}"):
        zoo.build(NAME)


@pytest.mark.parametrize("content", [b"", b"[]", b"[" * 100_000, b"\xff"])
def test_results_that_are_no_object_are_refused(entry, content):
    write(entry, content)
    uses = (
        lambda: zoo.build(NAME),
        lambda: zoo.list(pretrained=True),
        lambda: zoo.describe(NAME).pretrained,
    )
    for use in uses:
        with pytest.raises(ValueError, match=r"shapes_mine.results\.json"):
            use()


def paths_in(content, prefix=()):
    """The paths of all values in nested dictionaries and lists."""
    items = content.items() if isinstance(content, dict) else enumerate(content)
    for key, value in items:
        yield (*prefix, key)
        if isinstance(value, dict | list):
            yield from paths_in(value, (*prefix, key))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=4,
)


def check_card(data, entry):
    """Change one value of real results: the card is written, or an error names the file."""
    content = copy.deepcopy(published())
    path = data.draw(st.sampled_from(sorted(paths_in(content), key=str)))
    part = content
    for key in path[:-1]:
        part = part[key]
    if data.draw(st.booleans()):
        part[path[-1]] = data.draw(JSON)
    else:
        del part[path[-1]]
    write(entry, content)
    try:
        cards.card(registry.Entry(NAME, entry.folder))
        cards.table([registry.Entry(NAME, entry.folder)])
    except ValueError as error:
        assert "results.json" in str(error), error


@pytest.mark.slow
@settings(deadline=None, max_examples=100, derandomize=True)
@given(data=st.data())
def test_a_changed_value_gives_a_card_or_a_message(data, entry):
    check_card(data, entry)


@pytest.mark.slow
@settings(deadline=None, max_examples=1000, derandomize=True)
@given(data=st.data())
def test_many_changed_values_give_a_card_or_a_message(data, entry):
    check_card(data, entry)


@pytest.mark.parametrize(
    ("gain", "verdict"),
    [(0.01, "points: not significant."), (0.1, "points: significant.")],
)
def test_a_card_says_whether_a_gain_is_significant(gain, verdict):
    task, recipe = describe_task("audio_classification"), zoo.describe(SOURCE.name).recipe
    runs = []
    for accuracy in (0.95, 0.95 - gain):
        metrics = {"accuracy": accuracy, "examples": 300}
        runs.append({**published()["runs"][0], "metrics": dict.fromkeys(
            ("validation", "test"), metrics)})  # fmt: skip
    runs[1]["parameters"] = 1_234
    text = "\n".join(task.card_results(recipe, {"": runs[:1], "no_attention": runs[1:]}))
    assert f"gains {100 * gain:.2f} points of test accuracy" in text
    assert "(1 run each; " in text
    assert " and 1,234 parameters). The 95 % interval of the difference, over test examples" in text
    assert "(Wilson), for 300 waveforms: 91.92 to 96.95 %." in text
    assert verdict in text
    assert "which excludes the validation waveforms" in text


def test_a_damaged_record_is_not_published(entry, tmp_path):
    write(entry, published())
    for content, match in (
        (b"{", "not valid JSON"),
        (b"[" * 100_000, "nested too deeply"),
        (b"{}", "damaged.*commit: Field required"),
    ):
        (tmp_path / "record.json").write_bytes(content)
        with pytest.raises(ValueError, match=rf"record\.json.*{match}"):
            publishing.publish(NAME, [tmp_path])
    record = {**published()["runs"][0]}
    del record["weights_sha256"]
    (tmp_path / "record.json").write_text(json.dumps(record))
    with pytest.raises(ValueError, match=r"record\.json is damaged: it has no weights_sha256"):
        publishing.publish(NAME, [tmp_path])


def test_the_interval_of_a_difference_is_that_of_newcombe():
    """56 of 70 against 48 of 80: the first example of Newcombe (1998), table II, method 10."""
    intervals = [wilson_interval(0.8, 70), wilson_interval(0.6, 80)]
    lower, upper = difference_interval([[80.0], [60.0]], intervals)
    assert lower == pytest.approx(5.24, abs=0.01)
    assert upper == pytest.approx(33.39, abs=0.01)
