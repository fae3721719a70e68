"""Reading and splitting of your own images with boxes: Pascal VOC or COCO annotations."""

import concurrent.futures
import dataclasses
import os
import pathlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from keras_attn._validation import check_positive_integer
from keras_attn._wording import counted, listed
from keras_attn.datasets.detection import DetectionSplit
from keras_attn.datasets.files._account import TableAccount, tally
from keras_attn.datasets.files._annotations import (
    Annotation,
    dropped_objects,
    parse_voc,
    read_coco,
)
from keras_attn.datasets.files._label_folders import SPLIT_NAMES, SUFFIXES
from keras_attn.datasets.files._splitting import (
    check_labels,
    combine_splits,
    held_out_fractions,
    held_out_sizes,
)
from keras_attn.datasets.files.images import decode_image
from keras_attn.datasets.splits import Dataset

VOC_FOLDERS = ("Annotations", "JPEGImages", "ImageSets/Main")
IMAGE_FOLDERS = ("", "images", "JPEGImages")  # beside a file of COCO
MIN_IMAGES = 10  # of a table that is cut into splits
NO_IMAGE = "without an image of its own"
UNREADABLE = "with an image that cannot be read"
NOT_VOC = "not an annotation of Pascal VOC"
OTHER_SIZE = "with an image of another size, once it is upright, than the annotation states"
NOT_ANNOTATED = "without annotation"
_THREADS = 8


class DetectionAccount(TableAccount):
    """The account of images with boxes, see `TableAccount`: of images in place of rows.

    Dropped objects of images that were kept are in the notes.

    Example:

    >>> from keras_attn.datasets.files._account import Skipped
    >>> skipped = {"without annotation": Skipped(1, ("9.jpg",))}
    >>> print(DetectionAccount("cells", 9, 8, skipped, {"red": 80, "white": 8}))
    cells: 9 images read, 8 kept, 1 skipped.
    Objects: 'red' 80, 'white' 8.
    Skipped:
      1 without annotation (9.jpg)
    """

    _unit = "image"
    _places = ("", "")

    def _describe_kept(self) -> list[str]:
        first, *others = super()._describe_kept()
        return [first.replace("Examples:", "Objects:", 1), *others]


@dataclasses.dataclass(frozen=True, eq=False)
class DetectionTable:
    """Images, and the objects in each by the name of its label.

    Attributes:
        name: Name of the data set that `split_detection` returns.
        split: Images, boxes, and labels as indices into `label_names`.
        label_names: The names of all labels.
        paths: The file of each image, relative to the folder.
        parts: The split that the files name for each image: `"train"`, `"validation"`, `"test"`, or
            an empty string for all of them if they name none.
        account: The images that were kept and skipped, and the objects.
    """

    name: str
    split: DetectionSplit
    label_names: tuple[str, ...]
    paths: tuple[str, ...]
    parts: tuple[str, ...]
    account: DetectionAccount

    def __len__(self) -> int:
        return len(self.split)

    def __repr__(self) -> str:
        return (
            f"DetectionTable({self.name!r}, {counted(len(self), 'image')}, "
            f"objects: {self.account.describe_labels()})"
        )


def read_detection(
    path: str | os.PathLike[str],
    *,
    image_size: tuple[int, int] | None = None,
    image_folder: str | os.PathLike[str] | None = None,
    label_names: Sequence[str] | None = None,
) -> DetectionTable:
    """Read images with boxes, and report skipped images and dropped objects.

    The path is one of

    - a folder of Pascal VOC: the folders `Annotations` and `JPEGImages`, and lists of the splits in
      `ImageSets/Main/train.txt`, `val.txt` and `test.txt`, if there are any;
    - a folder of images, each with an XML file of Pascal VOC of the same name, as LabelImg writes
      them; or folders `train`, `valid` and `test` of these;
    - a JSON file of COCO. Images are looked for beside it, and in a folder `images` there.

    A label is spelled as `keras_attn.datasets.label_name` writes it. An object is dropped, and
    reported, if it has no label, coordinates that are no numbers, no area, or lies outside of its
    image; if it repeats another one; or if COCO marks it as a crowd. Boxes that extend beyond the
    image are cut. An image is skipped, and reported, if it has no annotation, cannot be read, or
    has another size than its annotation states. Images without objects are kept.

    Args:
        path: The folder or file.
        image_size: Height and width into which larger images are shrunk, with their boxes, to save
            memory; their aspect ratio stays. None keeps the images as they are.
        image_folder: Folder of the images, in place of those above.
        label_names: The labels, in the order of their indices; None is all that occur, sorted.

    Raises:
        FileNotFoundError: The path does not exist.
        ValueError: There is no annotation, no image can be used, or a label is not in
            `label_names`.

    Example:

    >>> import tempfile
    >>> import tensorflow as tf
    >>> root = pathlib.Path(tempfile.mkdtemp(), "cells")
    >>> root.mkdir()
    >>> _ = (root / "1.png").write_bytes(tf.io.encode_png(np.zeros((8, 8, 3), "uint8")).numpy())
    >>> sides = "<xmin>1</xmin><ymin>2</ymin><xmax>5</xmax><ymax>9</ymax>"
    >>> item = f"<object><name>cell</name><bndbox>{sides}</bndbox></object>"
    >>> _ = (root / "1.xml").write_text(f"<annotation>{item}</annotation>")
    >>> table = read_detection(root)
    >>> table.split.boxes[0].tolist(), table.label_names
    ([[1.0, 2.0, 5.0, 8.0]], ('cell',))
    """
    root = pathlib.Path(path)
    if not root.exists():
        raise FileNotFoundError(f"There is no folder or file {str(root)!r}.")
    if image_size is not None:
        for side in image_size:
            check_positive_integer("image_size", side)
    folder = None if image_folder is None else pathlib.Path(image_folder)
    if folder is not None and not folder.is_dir():
        raise FileNotFoundError(f"`image_folder`: there is no folder {str(folder)!r}.")
    found = _find_coco(root, folder) if root.is_file() else _find_voc(root, folder)
    return _make_table(root, found, image_size, label_names)


def split_detection(
    table: DetectionTable,
    *,
    validation: float | None = None,
    test: float | None = None,
    validation_data: DetectionTable | None = None,
    test_data: DetectionTable | None = None,
    seed: int = 0,
) -> Dataset[DetectionSplit]:
    """Return a table as a data set of training, validation and test splits.

    What the files of the table do not name, and is not given as a table, is cut from the training
    images at random.

    Args:
        table: The table, see `read_detection`.
        validation: Fraction of the images in the validation split. [default: 0.1]
        test: Fraction of the images in the test split; 0 for no test split. [default: 0.1]
        validation_data: The validation split, in place of a fraction.
        test_data: The test split, likewise.
        seed: Integer that determines the cut.

    Raises:
        ValueError: The fractions leave a split empty, a split is given twice, there are too few
            images, or given data has other labels.
    """
    given = {"validation": validation_data, "test": test_data}
    parts = np.array(table.parts)
    for name, fraction in (("validation", validation), ("test", test)):
        if name in parts and (fraction is not None or given[name] is not None):
            raise ValueError(
                f"{table.account.path} names images for {name}, and `{name}` or `{name}_data` was "
                "given too. Leave it out."
            )
    fractions = held_out_fractions(
        validation, test, *(other is not None or name in parts for name, other in given.items())
    )
    train = np.flatnonzero((parts == "") | (parts == "train"))
    if len(train) < MIN_IMAGES and any(fractions):
        raise ValueError(
            f"Cutting splits needs {MIN_IMAGES} images at least. Received: "
            f"{counted(len(train), 'image')}."
        )
    order = np.random.default_rng(seed).permutation(train)
    sizes = held_out_sizes(len(train), *fractions)
    rows = {
        "train": order[sum(sizes) :],
        "validation": order[: sizes[0]],
        "test": order[sizes[0] : sum(sizes)],
    }
    splits = {name: table.split.take(np.sort(part)) for name, part in rows.items() if len(part)}
    for name, other in given.items():
        if other is not None:
            check_labels(f"{name}_data", other.label_names, table.label_names)
            splits[name] = rename_labels(other, table.label_names)
        elif name in parts:
            splits[name] = table.split.take(np.flatnonzero(parts == name))
    return combine_splits(
        table.name,
        table.label_names,
        splits,
        lambda split: [image.tobytes() for image in split.images],
        [name for name, other in given.items() if other is not None or name in parts],
        "images",
    )


def rename_labels(table: DetectionTable, label_names: Sequence[str]) -> DetectionSplit:
    """Return all images of a table, with labels as indices into `label_names`."""
    new = np.array([list(label_names).index(name) for name in table.label_names], "int32")
    labels = tuple(new[labels].astype("int32") for labels in table.split.labels)
    return DetectionSplit(table.split.images, table.split.boxes, labels)


class _Found(NamedTuple):
    """Annotations with their images, and what was skipped.

    Attributes:
        annotations: The annotation of each image, by the name that accounts show.
        images: The file of each image, by the same name.
        parts: The split of each image, by the same name.
        skipped: Other images and annotations by reason.
        notes: Sentences on what else was found.
    """

    annotations: dict[str, Annotation]
    images: dict[str, pathlib.Path]
    parts: dict[str, str]
    skipped: dict[str, list[str]]
    notes: list[str]


def _find_voc(root: pathlib.Path, image_folder: pathlib.Path | None) -> _Found:
    """Return the annotations of Pascal VOC in a folder."""
    found = _Found({}, {}, {}, defaultdict(list), [])
    annotations = root / VOC_FOLDERS[0]
    if annotations.is_dir():
        images = image_folder or root / VOC_FOLDERS[1]
        listed_parts = _listed_parts(root / VOC_FOLDERS[2])
        _add_folder(found, annotations, images, "", listed_parts)
        if listed_parts:
            unlisted = [name for name, part in found.parts.items() if not part]
            for name in unlisted:
                del found.annotations[name], found.images[name], found.parts[name]
            if unlisted:
                found.skipped["in none of the lists of splits"] += unlisted
            if absent := [name for name in listed_parts if name not in found.parts]:
                found.notes.append(
                    f"Listed without an annotated image: {counted(len(absent), 'name')}, such as "
                    f"{absent[0]}."
                )
    else:
        folders = {
            SPLIT_NAMES[each.name.lower()]: each
            for each in sorted(root.iterdir())
            if each.is_dir() and each.name.lower() in SPLIT_NAMES
        }
        for part, folder in (folders if "train" in folders else {"": root}).items():
            prefix = f"{folder.name}/" if part else ""
            _add_folder(found, folder, image_folder or folder, prefix, {}, part)
    if not found.annotations:
        raise ValueError(
            f"{root} holds no images with annotations of Pascal VOC. It must hold the folders "
            "Annotations and JPEGImages; or images, each with an XML file of the same name. For "
            "COCO give the JSON file."
        )
    return found


def _add_folder(
    found: _Found,
    annotations: pathlib.Path,
    images: pathlib.Path,
    prefix: str,
    parts: Mapping[str, str],
    part: str = "",
) -> None:
    """Add the XML files of a folder, with their images in another or the same one."""
    files = [
        each
        for each in sorted(images.iterdir() if images.is_dir() else ())
        if each.suffix.lower() in SUFFIXES and not each.name.startswith(".")
    ]
    by_name, by_stem = ({getattr(each, key): each for each in files} for key in ("name", "stem"))
    annotated: set[pathlib.Path | None] = set()
    documents = sorted(each for each in annotations.iterdir() if each.suffix.lower() == ".xml")
    own = {path.stem for path in documents}
    for path in documents:
        name = f"{prefix}{path.stem}"
        try:
            annotation = parse_voc(path.read_bytes())
        except ValueError:
            found.skipped[NOT_VOC].append(f"{prefix}{path.name}")
            annotated.add(by_stem.get(path.stem))  # its image is not counted again
            continue
        stated = pathlib.PurePath(annotation.image)
        image = by_name.get(stated.name) if stated.stem == path.stem else None
        image = image or by_stem.get(path.stem)
        if image is None and stated.stem not in own:  # of an image without a file of its own
            image = by_name.get(stated.name) or by_stem.get(stated.stem)
        if image is None or image in annotated:
            found.skipped[NO_IMAGE].append(f"{prefix}{path.name}")
            continue
        annotated.add(image)
        found.annotations[name], found.images[name] = annotation, image
        found.parts[name] = parts.get(path.stem, part)
    others = [each for each in files if each not in annotated]
    if others:
        found.skipped[NOT_ANNOTATED] += [f"{prefix}{each.name}" for each in others]


def _listed_parts(folder: pathlib.Path) -> dict[str, str]:
    """Return the split of each image by the lists of Pascal VOC; empty if there are none."""
    parts: dict[str, str] = {}
    twice: list[str] = []
    for file, part in (("train", "train"), ("val", "validation"), ("test", "test")):
        path = folder / f"{file}.txt"
        if path.is_file():
            lines = path.read_text(encoding="utf-8-sig").splitlines()
            names = [line.split()[0] for line in lines if line.strip()]
            twice += [name for name in names if parts.get(name, part) != part]
            parts |= dict.fromkeys(names, part)
    if twice:
        raise ValueError(
            f"The lists in {folder} must name each image for one split. Received: "
            f"{counted(len(twice), 'image')} in two, such as {twice[0]!r}."
        )
    return parts if "train" in parts.values() else {}


def _find_coco(path: pathlib.Path, image_folder: pathlib.Path | None) -> _Found:
    """Return the annotations in a file of COCO."""
    found = _Found({}, {}, {}, defaultdict(list), [])
    folders = [image_folder] if image_folder else [path.parent / name for name in IMAGE_FOLDERS]
    annotations, unlisted = read_coco(path)
    if unlisted:
        found.notes.append(
            f"Dropped: {counted(unlisted, 'object')} of images that the file does not list."
        )
    names: dict[pathlib.Path, str] = {}
    for annotation in annotations:
        name = annotation.image
        places = [folder / name for folder in folders]
        image = next((place for place in places if place.is_file()), None)
        if image is None:
            found.skipped[NO_IMAGE].append(name)
            continue
        first = names.setdefault(image.resolve(), name)
        if first in found.annotations:
            found.annotations[first].extend(annotation)
            found.notes.append(f"Listed twice: {name}. Its objects were joined.")
            continue
        found.annotations[name], found.images[name] = annotation, image
        found.parts[name] = ""
    if not found.annotations:
        raise ValueError(
            f"{path} names no image that is on disk. Looked in: "
            f"{', '.join(map(str, folders))}. Give the folder of the images, `image_folder`."
        )
    return found


def _make_table(
    root: pathlib.Path,
    found: _Found,
    image_size: tuple[int, int] | None,
    label_names: Sequence[str] | None,
) -> DetectionTable:
    names = list(found.annotations)
    with concurrent.futures.ThreadPoolExecutor(min(_THREADS, os.cpu_count() or 1)) as threads:
        import tensorflow  # noqa: F401  # before the threads, which would import it at once

        images = list(threads.map(_read_image, [found.images[name] for name in names]))
    skipped = {reason: list(some) for reason, some in found.skipped.items()}
    kept: dict[str, np.ndarray] = {}
    for name, image in zip(names, images, strict=True):
        annotation = found.annotations[name]
        if image is None:
            skipped.setdefault(UNREADABLE, []).append(name)
        elif annotation.size not in (None, (image.shape[1], image.shape[0])):
            skipped.setdefault(OTHER_SIZE, []).append(name)
        else:
            annotation.fit(image.shape[1], image.shape[0])
            kept[name] = image
    annotations = {name: found.annotations[name] for name in kept}
    all_names, account = account_for(str(root), annotations, skipped, label_names, found.notes)
    if not kept or not all_names:
        raise ValueError(f"{root} has no image with an object that can be used.\n{account}")
    images_and_boxes = [
        _shrink(image, np.array(annotations[name].boxes, "float32").reshape(-1, 4), image_size)
        for name, image in kept.items()
    ]
    split = DetectionSplit(
        tuple(image for image, _ in images_and_boxes),
        tuple(boxes for _, boxes in images_and_boxes),
        tuple(label_indices(annotation, all_names) for annotation in annotations.values()),
        account,
    )
    parts = tuple(found.parts[name] for name in kept)
    return DetectionTable(root.resolve().stem, split, all_names, tuple(kept), parts, account)


def account_for(
    path: str,
    annotations: Mapping[str, Annotation],
    skipped: Mapping[str, Sequence[str]],
    label_names: Sequence[str] | None = None,
    more_notes: Sequence[str] = (),
) -> tuple[tuple[str, ...], DetectionAccount]:
    """Return the label names, and the account, of annotations that are kept.

    Raises:
        ValueError: A label is not in `label_names`.
    """
    counts = Counter(label for each in annotations.values() for label in each.labels)
    if label_names is not None and (others := sorted(set(counts) - set(label_names))):
        raise ValueError(
            f"{path} has labels that are not among `label_names`: {listed(others, 'labels')}."
        )
    all_names = tuple(sorted(counts)) if label_names is None else tuple(label_names)
    notes = list(more_notes)
    for reason, images in dropped_objects(annotations).items():
        first = ", ".join(list(dict.fromkeys(images))[:5])
        notes.append(f"Dropped: {counted(len(images), 'object')} {reason} ({first}).")
    if cut := sum(each.cut for each in annotations.values()):
        notes.append(f"Cut at the border of the image: {counted(cut, 'box', 'boxes')}.")
    if empty := [name for name, each in annotations.items() if not each.labels]:
        notes.append(f"Without an object: {counted(len(empty), 'image')}, such as {empty[0]}.")
    spellings = Counter(name.casefold() for name in counts)
    for alike in (name for name, count in spellings.items() if count > 1):
        same = [repr(name) for name in sorted(counts) if name.casefold() == alike]
        notes.append(f"Labels that differ in upper and lower case alone: {', '.join(same)}.")
    total = len(annotations) + sum(map(len, skipped.values()))
    by_label = {name: counts[name] for name in all_names}
    return all_names, DetectionAccount(
        path, total, len(annotations), tally(skipped), by_label, notes=tuple(notes)
    )


def label_indices(annotation: Annotation, label_names: Sequence[str]) -> np.ndarray:
    """Return the labels of an annotation as int32 indices into `label_names`."""
    index = {name: number for number, name in enumerate(label_names)}
    return np.array([index[label] for label in annotation.labels], "int32")


def _read_image(path: pathlib.Path) -> np.ndarray | None:
    try:
        return decode_image(path)
    except (ValueError, OSError):
        return None


def _shrink(
    image: np.ndarray, boxes: np.ndarray, size: tuple[int, int] | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return an image and its boxes, shrunk into a size if the image is larger."""
    height, width = image.shape[:2]
    if size is None or (height <= size[0] and width <= size[1]):
        return image, boxes
    import tensorflow as tf

    scale = min(size[0] / height, size[1] / width)
    new = (max(1, round(height * scale)), max(1, round(width * scale)))
    resized = tf.image.resize(image, new, antialias=True).numpy()
    factors = np.array([new[1] / width, new[0] / height] * 2, "float32")
    return np.clip(np.round(resized), 0, 255).astype("uint8"), boxes * factors
