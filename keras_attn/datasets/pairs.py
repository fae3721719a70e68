"""Pairs of a sentence and its translation, and which of them count as the same sentence."""

import dataclasses
import functools
import hashlib
import unicodedata
from collections.abc import Iterable
from typing import Any, Self

import numpy as np

from keras_attn.datasets.splits import check_array_of_texts, check_texts, framed, zip_batches

_QUOTES = str.maketrans(dict.fromkeys("\"'`´“”„‟‘’‚‛«»‹›"))  # noqa: RUF001


@dataclasses.dataclass(frozen=True)
class PairSplit:
    """Sentences and their translations.

    Attributes:
        sources: object array `(N,)` of `str`.
        targets: object array `(N,)` of `str`: a translation of each source.
        references: for each row all translations that are known to be right, of which its
            target is the first; None where there is no other than the target.
        target_language: code of the targets' language, such as `"fr"`; None where it is not
            known. Tokens are counted by its rules.

    Raises:
        ValueError: an array has another shape or dtype, an element is no `str` or holds half
            a surrogate pair, or the lengths differ.

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
            check_array_of_texts(texts, f"A split's `{name}`")
            check_texts(texts, f"A split's `{name}`")
        if len(self.sources) != len(self.targets):
            raise ValueError(
                "A split needs one target a source. Received: "
                f"{len(self.sources)} sources, {len(self.targets)} targets."
            )
        if self.references is None:
            return
        if len(self.references) != len(self.targets):
            raise ValueError(
                "`references` must have a tuple of translations for each row, or be None. "
                f"Received: {len(self.references)} for {len(self.targets)} rows."
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

    def take(self, indices: Any) -> Self:
        """The pairs at `indices` (an index array or a slice)."""
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
        """SHA-256 of the lengths and UTF-8 bytes, pair by pair, then of any references."""
        digest = hashlib.sha256()
        for source, target in zip(self.sources, self.targets, strict=True):
            digest.update(framed(source) + framed(target))
        for known in self.references or ():
            digest.update(len(known).to_bytes(8, "little") + b"".join(map(framed, known)))
        return digest.hexdigest()

    def batches(self, batch_size: int, *, shuffle: bool = False, seed: int = 0) -> Any:
        """The split as a `tf.data.Dataset` of `(string sources, string targets)` batches.

        Args:
            batch_size: pairs a batch; the last batch may be smaller.
            shuffle: reshuffle at every pass over the data set.
            seed: integer that makes the order repeatable.
        """
        return zip_batches(self.sources, self.targets, batch_size, shuffle, seed)


def same_sentence(sentence: str) -> str:
    """What all sentences have in common that are the same but for how they are written.

    Case, kinds of spaces and their number, quotes and apostrophes, and full stops,
    exclamation and question marks at the end make no difference.

    Example:

    >>> same_sentence("« Don't  go! »") == same_sentence("dont go ...")
    True
    >>> same_sentence("Don't go, Tom.") == same_sentence("Don't go.")
    False
    """
    plain = unicodedata.normalize("NFKC", sentence.translate(_QUOTES)).casefold()
    return " ".join(plain.split()).rstrip(" .!?")


def plain_pairs(pairs: Iterable[tuple[str, str]], target_language: str | None = None) -> PairSplit:
    """A split with a row for each pair, in their order.

    Example:

    >>> plain_pairs([("Run!", "Cours !"), ("Run!", "Courez !")]).targets.tolist()
    ['Cours !', 'Courez !']
    """
    pairs = list(pairs)
    sources = np.array([source for source, _ in pairs], dtype=object)
    targets = np.array([target for _, target in pairs], dtype=object)
    return PairSplit(sources, targets, target_language=target_language)


def referenced_pairs(
    pairs: Iterable[tuple[str, str]], target_language: str | None = None
) -> PairSplit:
    """A split with a row for each distinct source, all of whose targets are references.

    Rows are in the order in which their sources first occur, and references likewise.

    Example:

    >>> split = referenced_pairs([("Run!", "Cours !"), ("Hi.", "Salut."), ("Run!", "Courez !")])
    >>> split.sources.tolist(), split.references
    (['Run!', 'Hi.'], (('Cours !', 'Courez !'), ('Salut.',)))
    """
    known: dict[str, dict[str, None]] = {}
    for source, target in pairs:
        known.setdefault(source, {})[target] = None
    references = tuple(map(tuple, known.values()))
    firsts = ((source, targets[0]) for source, targets in zip(known, references, strict=True))
    split = plain_pairs(firsts, target_language)
    return dataclasses.replace(split, references=references)
