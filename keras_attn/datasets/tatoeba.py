"""English-French sentence pairs of Tatoeba, as ManyThings.org chose and published them.

https://www.manythings.org/anki/ , made of the sentences of https://tatoeba.org, which are
licensed under CC BY 2.0 (France). The file is renewed from time to time, under one name.
"""

import functools
import hashlib
import lzma
import os
import pathlib
import zipfile
import zlib
from collections.abc import Callable, Iterable

from keras_attn._names import unknown
from keras_attn.datasets._tfds import DatasetNotFoundError, tfds_folder
from keras_attn.datasets.pairs import PairSplit, plain_pairs, referenced_pairs, same_sentence
from keras_attn.datasets.registry import register_dataset
from keras_attn.datasets.splits import Dataset

FOLDER = "fra-eng"
LANGUAGES = ("en", "fr")
HELD_OUT = 0.02  # of the sources, in each of validation and test


def _unzip(path: pathlib.Path) -> bytes:
    with zipfile.ZipFile(path) as archive:
        return archive.read("fra.txt")


_READERS: dict[str, Callable[[pathlib.Path], bytes]] = {
    "fra.txt.xz": lambda path: lzma.decompress(path.read_bytes()),
    "fra.txt": lambda path: path.read_bytes(),
    "fra-eng.zip": _unzip,
}

_DAMAGE = (lzma.LZMAError, zipfile.BadZipFile, zlib.error, KeyError, UnicodeDecodeError)

Pairs = list[tuple[str, str]]


def load_tatoeba(
    source: str, target: str, data_dir: str | os.PathLike[str] | None = None
) -> Dataset[PairSplit]:
    """Short English and French sentences with their translations, see `keras_attn.datasets.load`.

    A sentence has several translations, and the same one is written with and without a full
    stop: split pair by pair, test sentences would stand in train. Here a source is in one
    split alone, however it is written (see `keras_attn.datasets.pairs.same_sentence`), and in
    which is decided by its SHA-256: by the same one in every edition of the file. A
    translation may stand in two splits, where two sources have it in common. As the source
    decides, the splits of English to French are other ones than those of French to English:
    evaluate no model on the test split of the other direction.

    Args:
        source: language to translate from, `"en"` or `"fr"`.
        target: language to translate to, the other one.
        data_dir: folder of `fra.txt.xz`, `fra.txt` or `fra-eng.zip`, or one with those in
            `fra-eng/`. None is the environment's `TFDS_DATA_DIR`, or
            `~/tensorflow_datasets`.

    Returns:
        `"train"`, with every pair once, and `"validation"` and `"test"` of some 2 % of the
        sources each, with a row for each source and all its translations as `references`.

    Raises:
        ValueError: no such language, or twice the same; on reading a split, if the file is
            damaged.
        DatasetNotFoundError: on reading a split, if the file is not on disk.

    Example:

    >>> list(load_tatoeba("en", "fr"))
    ['train', 'validation', 'test']
    """
    for language in (source, target):
        if language not in LANGUAGES:
            raise ValueError(unknown("language of Tatoeba's pairs", language, LANGUAGES))
    if source == target:
        raise ValueError(
            f"`source` and `target` must be two languages. Received: {source!r} for both."
        )

    @functools.cache
    def parts() -> dict[str, Pairs]:
        pairs = _read(_find(data_dir))
        return split_by_source(pairs if source == "en" else [(fr, en) for en, fr in pairs])

    readers: dict[str, Callable[[], PairSplit]] = {
        "train": functools.cache(lambda: plain_pairs(parts()["train"], target)),
        "validation": functools.cache(lambda: referenced_pairs(parts()["validation"], target)),
        "test": functools.cache(lambda: referenced_pairs(parts()["test"], target)),
    }
    return Dataset(f"tatoeba_{source}_{target}", (), readers)


def split_by_source(pairs: Iterable[tuple[str, str]]) -> dict[str, Pairs]:
    """Distribute distinct pairs to three splits, by the SHA-256 of their sources.

    Example:

    >>> pairs = [("Hi.", "Salut."), ("hi!", "Salut !"), ("Hi.", "Salut.")]
    >>> split_by_source(pairs)["train"]
    [('Hi.', 'Salut.'), ('hi!', 'Salut !')]
    """
    parts: dict[str, Pairs] = {"train": [], "validation": [], "test": []}
    for pair in dict.fromkeys(pairs):
        digest = hashlib.sha256(same_sentence(pair[0]).encode("utf-8")).digest()
        part = int.from_bytes(digest[:8], "big") / 2**64
        name = "test" if part < HELD_OUT else "validation" if part < 2 * HELD_OUT else "train"
        parts[name].append(pair)
    return parts


def _find(data_dir: str | os.PathLike[str] | None) -> pathlib.Path:
    folder = tfds_folder(data_dir)
    places = [folder / FOLDER] if data_dir is None else [folder, folder / FOLDER]
    for place in places:
        for name in _READERS:
            if (place / name).is_file():
                return place / name
    raise DatasetNotFoundError(
        f"Tatoeba's English-French pairs are not on disk. Looked for {', '.join(_READERS)} in "
        f"{' and '.join(map(str, places))}. Fetch fra-eng.zip from\n\n"
        f"    https://www.manythings.org/anki/\n\ninto {folder / FOLDER}, or give the folder "
        "that holds it as `data_dir` (--data-dir, TFDS_DATA_DIR)."
    )


def _read(path: pathlib.Path) -> Pairs:
    try:
        content = _READERS[path.name](path).decode("utf-8")
    except _DAMAGE as error:
        raise ValueError(
            f"{path} is damaged, or is not the file of English-French pairs: {error}. "
            "Fetch it again from https://www.manythings.org/anki/"
        ) from error
    pairs = []
    for number, line in enumerate(content.removesuffix("\n").split("\n"), start=1):
        fields = line.removesuffix("\r").split("\t")
        # Newer editions have a third field: who wrote the two.
        if len(fields) not in (2, 3) or not fields[0].strip() or not fields[1].strip():
            raise ValueError(
                f"{path}: line {number} is not an English sentence, a tab and a French one. "
                f"Received: {line[:80]!r}. Fetch the file from https://www.manythings.org/anki/"
            )
        pairs.append((fields[0], fields[1]))
    return pairs


for _source, _target in (("en", "fr"), ("fr", "en")):
    register_dataset(f"tatoeba_{_source}_{_target}", task="translation", language=_target)(
        functools.partial(load_tatoeba, _source, _target)
    )
