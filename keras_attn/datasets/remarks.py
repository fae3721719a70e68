"""`remarks`: a generated set of short reviews in which the context of a word decides the label.

Each text is one to five English sentences about a cafe, a phone, a book or the like; the label
is the writer's verdict. In most reviews a count of the words of praise and of blame gives the
label. In the others these words mislead or cancel out: a negation, other people's opinion
against the writer's, a comparison, an expectation that was or was not met, faults that did not
matter. There a model has to relate a word to its subject, as attention does. The authors of
this package wrote the sentences and word lists.
"""

import functools
import os
import random
import re
from collections.abc import Mapping

import numpy as np

from keras_attn._names import unknown
from keras_attn.datasets._remark_words import (
    ADJECTIVES,
    ASIDES,
    CLOSERS,
    COMPANY,
    PEOPLE,
    TIMES,
    TOPICS,
    VERBS,
)
from keras_attn.datasets.registry import register_dataset
from keras_attn.datasets.splits import Dataset, TextSplit

REMARKS_LABELS = ("negative", "positive")
SIZES = {"train": 4_000, "validation": 500, "test": 1_000}

_PLAIN = 0.62  # fraction of the reviews whose label is a count of words
_MAX_REPETITIONS = 200  # repeated texts in a row at which drawing stops

# Slots: {adj} and {verb} are of the verdict's polarity, {opp} and {vopp} of the other one.
_PLAIN_SENTENCES = (
    "{part_was} {very}{adj}.",
    "{part_was} {adj} and {part_was} {adj}.",
    "I {verb} {it}.",
    "I {verb} {it}, {aside}.",
    "I {verb} {part}, and {part_was} {very}{adj} too.",
    "What I remember is that {detail}.",
    "{detail}, and {part_was} {adj}.",
    "{detail}.",
    "Everything about {it} was {very}{adj}.",
    "{it} was {very}{adj} in every way.",
    "{it} was {adj}, {aside}, and I {verb} {part}.",
    "{person} {verb} {it}, and so did I.",
    "{person} called {it} {adj}, and rightly.",
    "I would {gladly} {again}.",
)
_CONTEXT_SENTENCES = (
    # Negation: the only judging word is the wrong one, or its negation is cancelled.
    "{part_was} not {opp} at all.",
    "{part_was} anything but {opp}, and I paid attention.",
    "No fair person could call {it} {opp}.",
    "Not once, {aside}, did I find {it} {opp}.",
    "{part_was} not only {adj} but, {aside}, {adj}.",
    "Never have I known {part} of any {noun} to be so {adj}.",
    # Other people against the writer.
    "{person} told me {it} was {far}{opp}, and yet, {aside}, I {verb} it.",
    "{person} called {it} {far}{opp}; I thought it {far}{adj}.",
    "I thought {it} {far}{adj}, whatever {person} said of how {opp} it was.",
    "{person} {vopp} {it}, but I, {aside}, {verb} it.",
    "I {verb} {it}, although {person} and {person} {vopp} it.",
    "That {it} is {far}{opp} is what {person} will tell you, and in fact it is {far}{adj}.",
    # Comparison with a rival.
    "Unlike {rival}, which was {far}{opp}, this one was {far}{adj}.",
    "This {noun} was {far}{adj}, while {rival} was {far}{opp}, as {person} had told me.",
    "{rival} was {far}{opp}; this {noun}, {aside}, was {far}{adj}.",
    "I {vopp} {rival}, but this {noun}, {aside}, I {verb}.",
    "I {verb} this {noun} as much as I {vopp} {rival}.",
    # Expectation and result.
    "I expected {it} to be {far}{opp}, and in the end it was {far}{adj}.",
    "{it} turned out {far}{adj}, though at first I had thought it {far}{opp}.",
    "{it} was said to be {far}{opp}, and it is not.",
    "{it} was said to be {far}{adj}, and it is.",
    "I was ready to call {it} {far}{opp}, and I was wrong.",
    "I was ready to call {it} {far}{adj}, and I was right.",
    "If {person} told you that {it} was {far}{opp}, do not believe it.",
    "If {person} told you that {it} was {far}{adj}, do believe it.",
    # Faults or merits that matter less.
    "{part_was} {far}{opp} and {part_was} {far}{opp}, but none of that mattered: I {verb} {it}.",
    "I {verb} {it}, even though {part_was} {far}{opp} and {part_was} {far}{opp}.",
    "{part_was} {far}{opp}, I admit, but on the whole {it} was {far}{adj}.",
    "Forget that {part_was} {far}{opp}: taken as a whole, {it} was {far}{adj}.",
)
_VERY = ("", "", "really ", "truly ", "quite ", "simply ")
_FAR = (  # separates a word from its subject by more than a trigram spans
    *("", "really ", "quite ", "in every respect ", "by any measure ", "beyond any doubt "),
    *("all in all ", "without a doubt "),
)
_GLADLY = {1: "gladly", -1: "never"}
_SLOT = re.compile(r"\{(\w+)\}")


def draw_remarks(seed: int = 0, sizes: Mapping[str, int] | None = None) -> Dataset[TextSplit]:
    """Generate the data set. It needs no file and no network.

    All texts are distinct. Each split has a random stream of its own. Splits are drawn in the
    order test, validation, train, and leave out the texts of earlier ones.

    Args:
        seed: Integer that determines the texts.
        sizes: Number of examples of each split; None means 4,000 (`"train"`), 500
            (`"validation"`) and 1,000 (`"test"`).

    Returns:
        The splits named in `sizes`, drawn on access.

    Raises:
        ValueError: A split has another name than those three; or on access to a split, if
            there are not as many distinct texts.

    Example:

    >>> split = draw_remarks(sizes={"test": 1})["test"]
    >>> REMARKS_LABELS[split.labels[0]], split.texts[0].split('. ')[1]
    ('positive', 'No fair person could call it shoddy')
    """
    sizes = dict(SIZES if sizes is None else sizes)
    for split in sizes:
        if split not in SIZES:
            raise ValueError(unknown("split of remarks", split, SIZES))

    @functools.cache
    def read() -> dict[str, TextSplit]:
        seen: set[str] = set()
        return {
            split: _draw(sizes[split], random.Random(f"{seed} {split}"), seen)
            for split in reversed(SIZES)
            if split in sizes
        }

    readers = {split: functools.partial(lambda split: read()[split], split) for split in sizes}
    return Dataset("remarks", REMARKS_LABELS, readers)


def _draw(count: int, stream: random.Random, seen: set[str]) -> TextSplit:
    """Draw a split of texts that are not in `seen`, and add them to it."""
    texts: list[str] = []
    labels = []
    repetitions = 0
    while len(texts) < count:
        label = stream.randrange(2)
        text = _Review(stream, 1 if label else -1).text()
        if text in seen:
            repetitions += 1
            if repetitions > _MAX_REPETITIONS:
                raise ValueError(
                    f"There are not {count} more different remarks, only about {len(texts)}. "
                    "Ask for fewer in `sizes`."
                )
            continue
        repetitions = 0
        seen.add(text)
        texts.append(text)
        labels.append(label)
    return TextSplit(np.array(texts, dtype=object), np.array(labels, "int32"))


class _Review:
    """A review that is being written.

    Args:
        stream: The random stream.
        verdict: 1 for praise, -1 for blame.
    """

    def __init__(self, stream: random.Random, verdict: int) -> None:
        self.stream, self.verdict = stream, verdict
        self.topic = stream.choice(TOPICS)
        self.is_named = False
        self.unused: dict[str, list[str]] = {}

    def text(self) -> str:
        """Return the text of the review."""
        plain = self.stream.random() < _PLAIN
        sentences = []
        if self.stream.random() < 0.75:
            sentences.append(self._fill(self._pop("setup", self.topic.setups)))
            self.is_named = True
        if plain:
            for _ in range(self.stream.choice((1, 2, 2, 3))):
                sentences.append(self._fill(self._pop("plain", _PLAIN_SENTENCES)))
        else:
            for _ in range(self.stream.choice((1, 1, 2))):
                sentences.append(self._fill(self._pop("context", _CONTEXT_SENTENCES)))
        if self.stream.random() < 0.3:
            sentences.append(self._pop("closer", CLOSERS))
        return " ".join(sentence[0].upper() + sentence[1:] for sentence in sentences)

    def _pop(self, kind: str, choices: tuple[str, ...]) -> str:
        """Return a random choice; no choice repeats before all have been used."""
        if not self.unused.get(kind):
            self.unused[kind] = self.stream.sample(choices, len(choices))
        return self.unused[kind].pop()

    def _fill(self, template: str) -> str:
        """Return a template with its slots filled."""
        return _SLOT.sub(lambda slot: self._word(slot[1]), template)

    def _word(self, slot: str) -> str:
        """Return the text for a slot."""
        topic = self.topic
        if slot in ("adj", "opp"):
            polarity = self.verdict if slot == "adj" else -self.verdict
            return self._pop(f"adjective {polarity}", ADJECTIVES[polarity])
        if slot in ("verb", "vopp"):
            polarity = self.verdict if slot == "verb" else -self.verdict
            return self._pop(f"verb {polarity}", VERBS[polarity])
        if slot in ("part", "part_was"):
            part = self._pop("part", topic.parts)
            was = " were" if part.startswith("+") else " was"
            return part.removeprefix("+") + (was if slot == "part_was" else "")
        if slot == "it":
            is_named, self.is_named = self.is_named, True
            return "it" if is_named else f"the {topic.noun}"
        choices: dict[str, tuple[str, ...]] = {
            "again": (topic.again,),
            "aside": ASIDES,
            "company": COMPANY,
            "detail": topic.details[self.verdict],
            "far": _FAR,
            "gladly": (_GLADLY[self.verdict],),
            "noun": (topic.noun,),
            "person": PEOPLE,
            "rival": topic.rivals,
            "very": _VERY,
            "when": TIMES,
        }
        return self._fill(self._pop(slot, choices[slot]))


@register_dataset("remarks", task="text_classification", label_names=REMARKS_LABELS)
def load_remarks(data_dir: str | os.PathLike[str] | None = None) -> Dataset[TextSplit]:
    """Generate the data set of seed 0. `data_dir` is not read."""
    return draw_remarks()
