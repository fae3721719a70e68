"""Splits of sentence pairs, and the key by which sentences are compared."""

import dataclasses
import functools
import hashlib
import unicodedata
from collections.abc import Iterable
from typing import Any, Self

import numpy as np

from keras_attn._wording import counted
from keras_attn.datasets.splits import check_text_array, check_texts, frame_text, make_batches

_QUOTES = str.maketrans(dict.fromkeys("\"'`´“”„‟‘’‚‛«»‹›"))  # noqa: RUF001


@dataclasses.dataclass(frozen=True)
class PairSplit:
    """Sentences and their translations.

    Attributes:
        sources: Object array `(N,)` of `str`.
        targets: Object array `(N,)` of `str`: a translation of each source.
        references: For each row a tuple of all known correct translations, the target first.
            None means that the target is the only reference of each row.
        target_language: Code of the language of the targets, such as `"fr"`, or None if it is
            unknown. Metrics tokenize targets by its rules.

    Raises:
        ValueError: An array has another shape or dtype, an element is not a `str` or contains
            half a surrogate pair, the lengths differ, or the references of a row do not begin
            with its target.

    Example:

    >>> sources = np.array(["Run!", "Go on."], dtype=object)
    >>> targets = np.array(["Cours !", "Continue."], dtype=object)
    >>> split = PairSplit(sources, targets, (("Cours !", "Courez !"), ("Continue.",)))
    >>> len(split), split.take([0]).references
    (2, (('Cours !', 'Courez !'),))
    """

    sources: np.ndarray
    targets: np.ndarray
    references: tuple[tuple[str, ...], ...] | None = None
    target_language: str | None = None

    def __post_init__(self) -> None:
        for name in ("sources", "targets"):
            texts = getattr(self, name)
            check_text_array(texts, f"A split's `{name}`")
            check_texts(texts, f"A split's `{name}`")
        if len(self.sources) != len(self.targets):
            raise ValueError(
                "A split needs one target a source. Received: "
                f"{counted(len(self.sources), 'source')}, {counted(len(self.targets), 'target')}."
            )
        if self.references is None:
            return
        if len(self.references) != len(self.targets):
            raise ValueError(
                "`references` must have a tuple of translations for each row, or be None. "
                f"Received: {len(self.references)} for {counted(len(self.targets), 'row')}."
            )
        for row, (target, known) in enumerate(zip(self.targets, self.references, strict=True)):
            if not isinstance(known, tuple) or known[:1] != (target,):
                raise ValueError(
                    "Each row's `references` must be a tuple that begins with its target. "
                    f"Received: {known!r} at row {row}, of the target {target!r}."
                )
            check_texts(known, f"The `references` of row {row}")

    @property
    def inputs(self) -> np.ndarray:
        """The sources."""
        return self.sources

    def __len__(self) -> int:
        return len(self.sources)

    def __repr__(self) -> str:
        language = f", target language {self.target_language!r}" if self.target_language else ""
        references = ""
        if self.references is not None:
            references = f", {counted(sum(map(len, self.references)), 'reference')}"
        return f"PairSplit({counted(len(self), 'pair')}{references}{language})"

    def take(self, indices: Any) -> Self:
        """Return a split of the pairs at `indices` (an index array, a mask or a slice)."""
        references = self.references
        if references is not None:
            rows = np.arange(len(self))[indices]
            references = tuple(references[row] for row in rows)
        return dataclasses.replace(
            self,
            sources=self.sources[indices],
            targets=self.targets[indices],
            references=references,
        )

    @functools.cached_property
    def fingerprint(self) -> str:
        """The SHA-256 of the lengths and UTF-8 bytes, pair by pair, then of any references."""
        digest = hashlib.sha256()
        for source, target in zip(self.sources, self.targets, strict=True):
            digest.update(frame_text(source) + frame_text(target))
        for known in self.references or ():
            digest.update(len(known).to_bytes(8, "little") + b"".join(map(frame_text, known)))
        return digest.hexdigest()

    def batches(self, batch_size: int, *, shuffle: bool = False, seed: int = 0) -> Any:
        """Return the split as a `tf.data.Dataset` of `(string sources, string targets)` batches.

        Args:
            batch_size: Pairs per batch; the last batch may be smaller.
            shuffle: Whether to shuffle the pairs anew at every pass over the data set.
            seed: Integer that determines the order.
        """
        return make_batches(self.sources, self.targets, batch_size, shuffle, seed)


def sentence_key(sentence: str) -> str:
    """Return a key that is equal for sentences that differ only in spelling conventions.

    The key ignores case, the kind and number of spaces, quotes and apostrophes, and full
    stops, exclamation and question marks at the end. Splits keep sentences with one key
    together, so that no test sentence is in the training split in another spelling.

    Example:

    >>> sentence_key("« Don't  go! »") == sentence_key("dont go ...")
    True
    >>> sentence_key("Don't go, Tom.") == sentence_key("Don't go.")
    False
    """
    plain = unicodedata.normalize("NFKC", sentence.translate(_QUOTES)).casefold()
    return " ".join(plain.split()).rstrip(" .!?")


def make_pair_split(
    pairs: Iterable[tuple[str, str]], target_language: str | None = None
) -> PairSplit:
    """Return a split with a row for each pair of source and target, in their order.

    Example:

    >>> make_pair_split([("Run!", "Cours !"), ("Run!", "Courez !")]).targets.tolist()
    ['Cours !', 'Courez !']
    """
    pairs = list(pairs)
    sources = np.array([source for source, _ in pairs], dtype=object)
    targets = np.array([target for _, target in pairs], dtype=object)
    return PairSplit(sources, targets, target_language=target_language)


def make_reference_split(
    pairs: Iterable[tuple[str, str]], target_language: str | None = None
) -> PairSplit:
    """Return a split with a row for each distinct source, with all its targets as references.

    Rows are in the order in which their sources first occur, and references in the order in
    which the targets of the source occur.

    Example:

    >>> pairs = [("Run!", "Cours !"), ("Hi.", "Salut."), ("Run!", "Courez !")]
    >>> split = make_reference_split(pairs)
    >>> split.sources.tolist(), split.references
    (['Run!', 'Hi.'], (('Cours !', 'Courez !'), ('Salut.',)))
    """
    targets_of: dict[str, dict[str, None]] = {}
    for source, target in pairs:
        targets_of.setdefault(source, {})[target] = None
    references = tuple(map(tuple, targets_of.values()))
    firsts = ((source, known[0]) for source, known in zip(targets_of, references, strict=True))
    split = make_pair_split(firsts, target_language)
    return dataclasses.replace(split, references=references)
