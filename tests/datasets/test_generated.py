"""The generated data sets of demonstrations."""

import numpy as np
import pytest

from keras_attn import datasets
from keras_attn.datasets import discs, echoes, melodies, numerals, sales


@pytest.mark.parametrize("name", ["numerals", "echoes", "sales", "melodies", "discs"])
def test_they_are_the_same_in_every_process(name):
    module = {"numerals": numerals, "echoes": echoes, "sales": sales, "melodies": melodies,
              "discs": discs}[name]  # fmt: skip
    draw = getattr(module, f"draw_{name}")
    first, again, other = draw()["test"], datasets.load(name)["test"], draw(seed=1)["test"]
    assert first.fingerprint == again.fingerprint != other.fingerprint


@pytest.mark.parametrize(
    ("number", "english", "chinese"),
    [
        (40_305, "forty thousand three hundred and five", "四万零三百零五"),
        (0, "zero", "零"),
        (10, "ten", "十"),
        (15, "fifteen", "十五"),
        (110, "one hundred and ten", "一百一十"),
        (1_005, "one thousand and five", "一千零五"),
        (20_020, "twenty thousand and twenty", "二万零二十"),
        (99_999, "ninety-nine thousand nine hundred and ninety-nine", "九万九千九百九十九"),
    ],
)
def test_numbers_are_written_right(number, english, chinese):
    assert numerals.in_english(number) == english
    assert numerals.in_chinese(number) == chinese


def test_no_number_is_in_two_splits():
    dataset = numerals.draw_numerals(sizes={"train": 50, "validation": 20, "test": 30})
    sources = [source for split in dataset.values() for source in split.sources]
    assert len(set(sources)) == 100


def test_the_second_word_repeats_the_first():
    for line in echoes.draw_echoes(sizes={"test": 20})["test"].documents:
        word, echo = line.split("=")
        assert word == echo
        assert 6 <= len(word) <= 14


def test_the_label_of_a_melody_is_the_order_of_its_notes():
    split = melodies.draw_melodies(sizes={"test": 30})["test"]
    for waveform, label in zip(split.waveforms, split.labels, strict=True):
        middle = round(0.28 * waveform.rate)
        peaks = [
            int(np.abs(np.fft.rfft(part, 8_000)).argmax())
            for part in (waveform.samples[:middle], waveform.samples[middle:])
        ]
        low, high = sorted(peaks)
        order = "same" if high < 1.1 * low else "rising" if peaks[0] < peaks[1] else "falling"
        assert order == melodies.LABELS[label]


def test_sales_follow_visitors_by_two_hours():
    values = sales.draw_sales()["test"].values
    correlations = [
        np.corrcoef(values[10:-10, 0], values[10 + lag : len(values) - 10 + lag, 1])[0, 1]
        for lag in range(5)
    ]
    assert int(np.argmax(correlations)) == 2


def test_the_boxes_of_discs_touch_their_sides():
    split = discs.draw_discs(sizes={"test": 5})["test"]
    for image, boxes, labels in zip(split.images, split.boxes, split.labels, strict=True):
        green = image[..., 1].astype(float)
        for (left, top, right, bottom), label in zip(boxes, labels, strict=True):
            middle = green[round((top + bottom) / 2), round((left + right) / 2)]
            edge = green[round((top + bottom) / 2), round(left) + 2]
            outside = np.median(green)
            assert edge < outside - 30
            assert (middle < outside - 30) == (discs.LABELS[label] == "disc")
