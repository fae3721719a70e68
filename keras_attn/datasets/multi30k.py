"""Multi30k: 31,000 image captions in English, German, French and Czech.

Elliott et al., 2016, "Multi30K: multilingual English-German image descriptions", and the shared
tasks on multimodal translation of 2016 to 2018. The files are the raw ones of task 1 at
https://github.com/multi30k/dataset .
"""

import functools
import gzip
import hashlib
import os
import pathlib
from collections.abc import Mapping, Sequence

from keras_attn._names import unknown
from keras_attn.datasets._tfds import DatasetNotFoundError, is_prepared, read_tfds, tfds_folder
from keras_attn.datasets.pairs import PairSplit, make_pair_split
from keras_attn.datasets.registry import register_dataset
from keras_attn.datasets.splits import Dataset

NAME = "multi30k"
LANGUAGES = ("en", "de", "fr", "cs")
URL = "https://raw.githubusercontent.com/multi30k/dataset/master/data/task1/raw/"
SPLITS = {  # from names of splits to those in the names of the files
    "train": "train",
    "validation": "val",
    "test": "test_2016_flickr",
    "test_2017": "test_2017_flickr",
    "test_coco": "test_2017_mscoco",
}
CHECKSUMS = {  # SHA-256 of the published files
    "test_2016_flickr.cs.gz": "200a4a74cc9560f051924abb9803be008d1908d77f747e9141aeb86dfd2797f1",
    "test_2016_flickr.de.gz": "9204244e408ccb38d2a55cfcd344df15005fc42a07a6e55ca6c52b6ababb8cc8",
    "test_2016_flickr.en.gz": "611d361c6334bc7246101d48097c13cf5c4413c5befc793cc629934359d532d9",
    "test_2016_flickr.fr.gz": "6d326e188d259fb1d04ac19eae3af956559b3a0b93d7635e56c90987c40c8b90",
    "test_2017_flickr.de.gz": "a2c89666db00c495cd8513b9d708d5a3acc205d7de312ef2bf5fb7ebc1540aee",
    "test_2017_flickr.en.gz": "76a444ee25172e72695cddb13ae4a3bda59430617be88e0bb46b60504f054074",
    "test_2017_flickr.fr.gz": "3ba671ceb2299f3304ffafefea7a833d08632fbaf0ba18546f8a2ec2391af496",
    "test_2017_mscoco.de.gz": "799e4854c25d601cb6cb6be29eabe5667734c61ace2f495e03e429031a0bc338",
    "test_2017_mscoco.en.gz": "aab300bfb4427697987e02cd0aacd44bfe8aa50456231b6474c08038bbed2b58",
    "test_2017_mscoco.fr.gz": "754f3072ba9f124569ba5258b32730fc1d214bbf8e0c6dfb2b74401676220db0",
    "train.cs.gz": "a65adb8b32e3bc664f21ecba7a6e7f6950fd1f405e135f7c312faabdb6255077",
    "train.de.gz": "726e39b2fa9eb9ffb6dc763fb35a179f80fae06ffc5d28b6ace5faa883de28a6",
    "train.en.gz": "d79cfa999dd4c51d2cb42499b6796d5a882c3a8a961923c25a898c90f8bbd56f",
    "train.fr.gz": "622e75069e9f4c577425c4f277116ce66e63a2401c0a2312d90073cb12379a3c",
    "val.cs.gz": "b63226e05c4bd5dd6a42897d74b86a1b9d2c31498252c572b1ea7f7996927fcc",
    "val.de.gz": "f0cba2f995189cf5770f29a8a9a537a3ad3f51657ad873405082ff6863a5e75a",
    "val.en.gz": "14f7d25ddd868909a9213e361768460edcacdd6ab9d1e77b92560dc10c10dc28",
    "val.fr.gz": "ca3106f1a72390591d25f6c45cb4cd39dec4cd3f123e099748a3ce5256c160e9",
}
_NOT_IN_CZECH = ("test_2017", "test_coco")
_TITLES = {
    "test": "Flickr 2016",
    "test_2017": "Flickr 2017",
    "test_coco": "COCO 2017, ambiguous verbs",
}


def load_multi30k(
    source: str, target: str, data_dir: str | os.PathLike[str] | None = None
) -> Dataset[PairSplit]:
    """Open Multi30k: image captions and their translations.

    The sentences are as published, without line ends. People wrote the captions in English and
    translated them into the other languages.

    Args:
        source: Language to translate from: `"en"`, `"de"`, `"fr"` or `"cs"`.
        target: Language to translate to, another one of these.
        data_dir: Folder of the published files (`train.en.gz` and so on); or a folder of
            TensorFlow Datasets in which `multi30k` is prepared (see
            `keras_attn.datasets.multi30k_builder`), or which has the published files in
            `multi30k/`. None means the environment's `TFDS_DATA_DIR`, or
            `~/tensorflow_datasets`.

    Returns:
        The splits `"train"` (29,000 pairs), `"validation"` (1,014) and `"test"` (Flickr 2016,
        1,000; most published figures are on it). Without Czech also `"test_2017"` (Flickr
        2017, 1,000) and `"test_coco"` (COCO 2017, 461 with deliberately ambiguous verbs).

    Raises:
        ValueError: A language is unknown, or both are the same; or on access to a split, if a
            file is not the published one.
        DatasetNotFoundError: On access to a split, if the data set is not on disk.

    Example:

    >>> list(load_multi30k("en", "de"))
    ['train', 'validation', 'test', 'test_2017', 'test_coco']
    >>> list(load_multi30k("cs", "en"))
    ['train', 'validation', 'test']
    """
    for language in (source, target):
        if language not in LANGUAGES:
            raise ValueError(unknown("language of Multi30k", language, LANGUAGES))
    if source == target:
        raise ValueError(
            f"`source` and `target` must be two languages. Received: {source!r} for both."
        )
    readers = {
        split: functools.cache(functools.partial(_read, split, source, target, data_dir))
        for split in SPLITS
        if is_translated(split, source) and is_translated(split, target)
    }
    return Dataset(f"{NAME}_{source}_{target}", (), readers, target)


def is_translated(split: str, language: str) -> bool:
    """Return True if a split is published in a language."""
    return language != "cs" or split not in _NOT_IN_CZECH


def file_name(split: str, language: str) -> str:
    """Return the name of the published file of a split in a language.

    Example:

    >>> file_name("test", "fr")
    'test_2016_flickr.fr.gz'
    """
    return f"{SPLITS[split]}.{language}.gz"


def read_sentences(path: str | os.PathLike[str], name: str) -> list[str]:
    """Read the sentences of a published file, after a comparison of its checksum.

    Args:
        path: The file.
        name: The name by which it is published.

    Raises:
        ValueError: The checksum is another one.
    """
    content = pathlib.Path(path).read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    if digest != CHECKSUMS[name]:
        raise ValueError(
            f"{path} is not the published {name}: its SHA-256 is {digest}, and should be "
            f"{CHECKSUMS[name]}. Fetch it again from {URL}{name}"
        )
    # `splitlines` would also split at characters that occur inside of sentences.
    return gzip.decompress(content).decode("utf-8").removesuffix("\n").split("\n")


def check_parallel(sentences: Mapping[str, Sequence[str]]) -> None:
    """Raise ValueError if files, given as lines by name, differ in their number of lines."""
    counts = {name: len(lines) for name, lines in sentences.items()}
    if len(set(counts.values())) > 1:
        listed = ", ".join(f"{name} {count:,}" for name, count in counts.items())
        raise ValueError(
            "Files of one split must have a line for each other's lines. "
            f"Received lines: {listed}. Fetch them again from {URL}"
        )


def _read(
    split: str, source: str, target: str, data_dir: str | os.PathLike[str] | None
) -> PairSplit:
    names = [file_name(split, language) for language in (source, target)]
    folder = tfds_folder(data_dir)

    def has_files(candidate: pathlib.Path) -> bool:
        return all((candidate / name).is_file() for name in names)

    if data_dir is not None and has_files(folder):
        return _read_files(folder, names, target)
    if is_prepared(NAME, folder):
        arrays = read_tfds(NAME, data_dir, split)
        columns = ([text.decode("utf-8") for text in arrays[key]] for key in (source, target))
        return make_pair_split(zip(*columns, strict=True), target)
    if has_files(folder / NAME):
        return _read_files(folder / NAME, names, target)
    candidates = [folder, folder / NAME] if data_dir is not None else [folder / NAME]
    searched = " and ".join(map(str, candidates))
    raise DatasetNotFoundError(
        f"Multi30k is not on disk. Looked for {' and '.join(names)} in {searched}, and for a "
        f"prepared data set {NAME!r} in {folder}. Copy the published .gz files into "
        f"{folder / NAME} from\n\n    {URL}\n\nor, on a machine with internet access, "
        f"prepare the data set with\n\n    python -m keras_attn.datasets.multi30k_builder "
        f"--data-dir {folder}\n\nor give the folder that holds one or the other as `data_dir`, "
        "or in TFDS_DATA_DIR."
    )


def _read_files(folder: pathlib.Path, names: Sequence[str], target: str) -> PairSplit:
    sentences = {name: read_sentences(folder / name, name) for name in names}
    check_parallel(sentences)
    return make_pair_split(zip(*sentences.values(), strict=True), target)


for _other in ("de", "fr", "cs"):
    for _source, _target in (("en", _other), (_other, "en")):
        register_dataset(
            f"{NAME}_{_source}_{_target}",
            task="translation",
            language=_target,
            split_titles={
                split: title
                for split, title in _TITLES.items()
                if is_translated(split, _source) and is_translated(split, _target)
            },
        )(functools.partial(load_multi30k, _source, _target))
