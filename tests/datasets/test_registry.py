"""The registry of data sets: registration, look-up by name, and lists by task."""

import numpy as np
import pytest

from keras_attn import datasets

NAME = "three_greetings"


def load_greetings(data_dir=None):
    texts = np.array(["Hello!", "Bye.", "See you."], dtype=object)
    split = datasets.TextSplit(texts, np.array([1, 0, 0], "int32"))
    return datasets.Dataset(NAME, ("parting", "greeting"), {"train": lambda: split})


@pytest.fixture
def greetings():
    """Register a data set of three texts for one test."""
    yield datasets.register_dataset(
        NAME, task="text_classification", label_names=["parting", "greeting"], language="en"
    )(load_greetings)
    datasets.unregister_dataset(NAME)


def test_a_registered_data_set_loads_by_name(greetings):
    dataset = datasets.load(NAME)
    assert dataset.name == NAME
    assert dataset["train"].texts.tolist() == ["Hello!", "Bye.", "See you."]
    assert greetings is load_greetings  # the decorator returns the function itself


def test_the_loader_receives_the_data_folder(tmp_path):
    received = []

    @datasets.register_dataset(NAME, task="text_classification")
    def load(data_dir=None):
        received.append(data_dir)
        return load_greetings()

    try:
        datasets.load(NAME, tmp_path)
        datasets.load(NAME)
    finally:
        datasets.unregister_dataset(NAME)
    assert received == [tmp_path, None]


def test_registering_calls_no_loader():
    def load(data_dir=None):
        raise AssertionError("must not be called")

    datasets.register_dataset(NAME, task="text_classification")(load)
    try:
        assert datasets.describe_dataset(NAME).load is load
        assert NAME in datasets.list_datasets("text_classification")
    finally:
        datasets.unregister_dataset(NAME)


def test_a_description_holds_what_was_registered(greetings):
    info = datasets.describe_dataset(NAME)
    assert info == datasets.DatasetInfo(
        NAME, "text_classification", load_greetings, ("parting", "greeting"), "en", {}
    )
    german = datasets.describe_dataset("multi30k_en_de")
    assert (german.task, german.language, german.label_names) == ("translation", "de", ())
    assert german.split_titles["test_2017"] == "Flickr 2017"


def test_a_name_is_registered_once(greetings):
    with pytest.raises(ValueError, match=f"'{NAME}' already"):
        datasets.register_dataset(NAME, task="text_classification")(lambda data_dir=None: None)
    assert datasets.describe_dataset(NAME).load is load_greetings
    # A module that is run twice registers the same function twice.
    datasets.register_dataset(NAME, task="other")(load_greetings)
    assert datasets.describe_dataset(NAME).task == "other"


@pytest.mark.parametrize(
    "call", [datasets.load, datasets.describe_dataset, datasets.unregister_dataset]
)
def test_an_unknown_name_is_refused_with_a_suggestion(greetings, call):
    with pytest.raises(ValueError, match=f"Unknown data set.*Did you mean '{NAME}'.*Accepted: "):
        call("three_greeting")


def test_data_sets_are_listed_by_task(greetings):
    texts = datasets.list_datasets("text_classification")
    assert texts == ["chnsenticorp", "imdb", "remarks", NAME]
    images = datasets.list_datasets("image_classification")
    assert images == ["cifar10", "cifar100", "shapes"]
    pairs = datasets.list_datasets("translation")
    assert pairs == sorted(pairs)
    assert len(pairs) == 11
    series = datasets.list_datasets("forecasting")
    assert series == ["etth1", "sales", "traffic", "weather"]
    documents = datasets.list_datasets("text_generation")
    assert documents == ["echoes", "shakespeare", "tang"]
    sounds = datasets.list_datasets("audio_classification")
    assert sounds == ["fsdd", "melodies"]
    boxes = datasets.list_datasets("object_detection")
    assert boxes == ["bccd", "discs"]
    assert datasets.list_datasets("no_such_task") == []
    every = [*texts, *images, *pairs, *series, *documents, *sounds, *boxes]
    assert datasets.list_datasets() == sorted(every)


def test_an_unregistered_data_set_is_unknown(greetings):
    datasets.unregister_dataset(NAME)
    try:
        assert NAME not in datasets.list_datasets()
        with pytest.raises(ValueError, match="Unknown data set"):
            datasets.load(NAME)
    finally:
        datasets.register_dataset(NAME, task="text_classification")(load_greetings)


@pytest.mark.parametrize("name", datasets.list_datasets())
def test_every_registered_data_set_opens_under_its_own_name_and_labels(tmp_path, name):
    dataset, info = datasets.load(name, tmp_path), datasets.describe_dataset(name)
    assert dataset.name == info.name == name
    assert tuple(dataset.label_names) == info.label_names
    assert {"train", "validation", "test"} <= set(dataset)
    assert set(info.split_titles) <= set(dataset)
