"""English sentences of Tatoeba in French or Mandarin, as published by ManyThings.org.

The files are at https://www.manythings.org/anki/ . Their sentences are from https://tatoeba.org,
licensed under CC BY 2.0 (France). New editions replace them from time to time, under the same
names.
"""

import dataclasses
import functools
import hashlib
import lzma
import os
import pathlib
import zipfile
import zlib
from collections.abc import Callable, Iterable

from keras_attn._names import unknown
from keras_attn.datasets._tfds import find_file
from keras_attn.datasets.pairs import PairSplit, make_pair_split, make_reference_split, sentence_key
from keras_attn.datasets.registry import register_dataset
from keras_attn.datasets.splits import Dataset

URL = "https://www.manythings.org/anki/"
HELD_OUT = 0.02  # fraction of the sources in each of validation and test


@dataclasses.dataclass(frozen=True)
class _Edition:
    """The file of pairs of English with one other language.

    Attributes:
        language: Name of the other language.
        code: Its code in the names of the files.
    """

    language: str
    code: str

    @property
    def folder(self) -> str:
        return f"{self.code}-eng"

    @property
    def readers(self) -> dict[str, Callable[[pathlib.Path], bytes]]:
        """Functions that read the file in each of its forms, by the name of the form."""
        name = f"{self.code}.txt"

        def unzip(path: pathlib.Path) -> bytes:
            with zipfile.ZipFile(path) as archive:
                return archive.read(name)

        return {
            f"{name}.xz": lambda path: lzma.decompress(path.read_bytes()),
            name: lambda path: path.read_bytes(),
            f"{self.folder}.zip": unzip,
        }


_EDITIONS = {"fr": _Edition("French", "fra"), "zh": _Edition("Mandarin", "cmn")}
LANGUAGES = ("en", *_EDITIONS)

_DAMAGE = (lzma.LZMAError, zipfile.BadZipFile, zlib.error, KeyError, UnicodeDecodeError)

Pairs = list[tuple[str, str]]


def load_tatoeba(
    source: str, target: str, data_dir: str | os.PathLike[str] | None = None
) -> Dataset[PairSplit]:
    """Open Tatoeba: short English sentences with their translations into another language.

    Mandarin sentences are in simplified or in traditional characters.

    Many sentences have several translations, or occur with and without a full stop. A split
    pair by pair would put test sentences into the training split. Here all pairs of a source,
    in any spelling (see `keras_attn.datasets.pairs.sentence_key`), are in one split. The
    SHA-256 of the source selects it, so it is the same in every edition of the file. A target
    occurs in two splits if two sources share it.

    The two directions have different splits: do not evaluate a model on the test split of the
    other direction.

    Args:
        source: Language to translate from: `"en"`, or `"fr"` or `"zh"`.
        target: Language to translate to. One of the two is `"en"`.
        data_dir: Folder of `fra.txt.xz`, `fra.txt` or `fra-eng.zip` (`cmn` for Mandarin), or a
            folder with one of them in `fra-eng/`. None means the environment's
            `TFDS_DATA_DIR`, or `~/tensorflow_datasets`.

    Returns:
        The split `"train"` with each distinct pair, and `"validation"` and `"test"`, about 2 %
        of the sources each, with a row for each source and all its translations as
        `references`.

    Raises:
        ValueError: A language is unknown, or not exactly one is English; or on access to a
            split, if the file is damaged.
        DatasetNotFoundError: On access to a split, if the file is not on disk.

    Example:

    >>> list(load_tatoeba("en", "fr"))
    ['train', 'validation', 'test']
    """
    for language in (source, target):
        if language not in LANGUAGES:
            raise ValueError(unknown("language of Tatoeba's pairs", language, LANGUAGES))
    if (source == "en") == (target == "en"):
        raise ValueError(
            "One of `source` and `target` must be 'en', and the other another language. "
            f"Received: {source!r} and {target!r}."
        )
    edition = _EDITIONS[target if source == "en" else source]

    @functools.cache
    def split() -> dict[str, Pairs]:
        pairs = _read(edition, _find(edition, data_dir))
        return split_by_source(pairs if source == "en" else [(other, en) for en, other in pairs])

    readers: dict[str, Callable[[], PairSplit]] = {
        "train": functools.cache(lambda: make_pair_split(split()["train"], target)),
        "validation": functools.cache(lambda: make_reference_split(split()["validation"], target)),
        "test": functools.cache(lambda: make_reference_split(split()["test"], target)),
    }
    return Dataset(f"tatoeba_{source}_{target}", (), readers, target)


def split_by_source(pairs: Iterable[tuple[str, str]]) -> dict[str, Pairs]:
    """Distribute distinct pairs over three splits, by the SHA-256 of their sources.

    Args:
        pairs: Pairs of source and target.

    Returns:
        The pairs of `"train"`, `"validation"` and `"test"`, in their order.

    Example:

    >>> pairs = [("Hi.", "Salut."), ("hi!", "Salut !"), ("Hi.", "Salut.")]
    >>> split_by_source(pairs)["train"]
    [('Hi.', 'Salut.'), ('hi!', 'Salut !')]
    """
    parts: dict[str, Pairs] = {"train": [], "validation": [], "test": []}
    for pair in dict.fromkeys(pairs):
        digest = hashlib.sha256(sentence_key(pair[0]).encode("utf-8")).digest()
        position = int.from_bytes(digest[:8], "big") / 2**64  # uniform in [0, 1)
        if position < HELD_OUT:
            name = "test"
        elif position < 2 * HELD_OUT:
            name = "validation"
        else:
            name = "train"
        parts[name].append(pair)
    return parts


def _find(edition: _Edition, data_dir: str | os.PathLike[str] | None) -> pathlib.Path:
    title = f"The file of Tatoeba's English-{edition.language} pairs, {edition.folder}.zip,"
    return find_file(title, edition.folder, tuple(edition.readers), data_dir, URL)


def _read(edition: _Edition, path: pathlib.Path) -> Pairs:
    try:
        content = edition.readers[path.name](path).decode("utf-8")
    except _DAMAGE as error:
        raise ValueError(
            f"{path} is damaged, or is not the file of English-{edition.language} pairs: {error}. "
            f"Fetch it again from {URL}"
        ) from error
    pairs = []
    for number, line in enumerate(content.removesuffix("\n").split("\n"), start=1):
        fields = line.removesuffix("\r").split("\t")
        # Newer editions have a third field, the attribution.
        if len(fields) not in (2, 3) or not fields[0].strip() or not fields[1].strip():
            raise ValueError(
                f"{path}: line {number} is not an English sentence, a tab and one in "
                f"{edition.language}. Received: {line[:80]!r}. Fetch the file from {URL}"
            )
        pairs.append((fields[0], fields[1]))
    return pairs


for _source, _target in (("en", "fr"), ("fr", "en"), ("en", "zh"), ("zh", "en")):
    register_dataset(f"tatoeba_{_source}_{_target}", task="translation", language=_target)(
        functools.partial(load_tatoeba, _source, _target)
    )
