"""Annotations of objects in images: files of Pascal VOC (XML) and COCO (JSON)."""

import dataclasses
import json
import math
import pathlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree import ElementTree

from keras_attn._files import read_json_object
from keras_attn._label_names import label_name

NO_LABEL = "without label"
NO_CATEGORY = "of a category that is not listed"
NO_COORDINATES = "without four numbers as coordinates"
NO_AREA = "without area"
OUTSIDE = "outside of the image"
CROWD = "marked as a crowd"
REPEATED = "repeated (same label and coordinates)"

Box = tuple[float, float, float, float]


@dataclasses.dataclass
class Annotation:
    """The objects of one image.

    Attributes:
        image: The name of its file, as the annotation states it.
        size: Width and height, as the annotation states them, or None.
        boxes: Left, top, right and bottom side of each object.
        labels: The label of each object.
        dropped: Number of objects that were dropped, by reason.
        cut: Number of boxes that were cut at the border.
    """

    image: str
    size: tuple[int, int] | None
    boxes: list[Box] = dataclasses.field(default_factory=list)
    labels: list[str] = dataclasses.field(default_factory=list)
    dropped: dict[str, int] = dataclasses.field(default_factory=lambda: defaultdict(int))
    cut: int = 0

    def add(self, label: Any, box: Sequence[Any]) -> None:
        """Add an object, or count why it is dropped."""
        name = label_name(label)
        try:
            sides = tuple(float(side) for side in box)
        except (TypeError, ValueError):
            sides = ()
        if not name:
            self.dropped[NO_LABEL] += 1
        elif len(sides) != 4 or not all(map(math.isfinite, sides)):
            self.dropped[NO_COORDINATES] += 1
        elif (sides, name) in zip(self.boxes, self.labels, strict=True):
            self.dropped[REPEATED] += 1
        elif sides[2] <= sides[0] or sides[3] <= sides[1]:
            self.dropped[NO_AREA] += 1
        else:
            self.boxes.append(sides)
            self.labels.append(name)

    def extend(self, other: "Annotation") -> None:
        """Add the objects of another annotation of the same image."""
        for label, box in zip(other.labels, other.boxes, strict=True):
            self.add(label, box)
        for reason, count in other.dropped.items():
            self.dropped[reason] += count

    def fit(self, width: int, height: int) -> None:
        """Cut boxes at the border of the image, and drop those outside of it."""
        boxes, labels, before = [], [], self.boxes
        for (left, top, right, bottom), label in zip(before, self.labels, strict=True):
            box = (max(left, 0.0), max(top, 0.0), min(right, width), min(bottom, height))
            if box[2] <= box[0] or box[3] <= box[1]:
                self.dropped[OUTSIDE] += 1
                continue
            self.cut += box != (left, top, right, bottom)
            boxes.append(box)
            labels.append(label)
        self.boxes, self.labels = boxes, labels


def parse_voc(content: str | bytes) -> Annotation:
    """Return the annotation in a file of Pascal VOC.

    Raises:
        ValueError: It is no such file.

    Example:

    >>> sides = "<xmin>1</xmin><ymin>2</ymin><xmax>5</xmax><ymax>6</ymax>"
    >>> box = f"<bndbox>{sides}</bndbox>"
    >>> parse_voc(f"<annotation><object><name>cell</name>{box}</object></annotation>").boxes
    [(1.0, 2.0, 5.0, 6.0)]
    """
    try:
        root = ElementTree.fromstring(content)
    except ElementTree.ParseError as error:
        raise ValueError(f"it is no XML ({error})") from error
    if root.tag != "annotation":
        raise ValueError(f"its root is <{root.tag}>, not <annotation>")
    size = (_integer(root.findtext("size/width")), _integer(root.findtext("size/height")))
    annotation = Annotation((root.findtext("filename") or "").strip(), size if all(size) else None)
    for item in root.findall("object"):
        sides = [item.findtext(f"bndbox/{side}") for side in ("xmin", "ymin", "xmax", "ymax")]
        annotation.add(item.findtext("name"), sides)
    return annotation


def read_coco(path: pathlib.Path) -> tuple[list[Annotation], int]:
    """Return the annotations in a file of COCO, in the order of its images.

    Objects that are marked as a crowd are dropped, since their box is that of a group.

    Returns:
        The annotations, and the number of objects of images that the file does not list.

    Raises:
        ValueError: It is no such file, or two images have one id.
    """
    unlisted = 0
    try:
        content = read_json_object(path)
        labels = {each["id"]: each["name"] for each in content.get("categories", [])}
        by_id: dict[Any, Annotation] = {}
        for each in content["images"]:
            size = (_integer(each.get("width")), _integer(each.get("height")))
            if each["id"] in by_id:
                names = by_id[each["id"]].image, str(each["file_name"])
                raise ValueError(
                    f"{path} must have an id of its own for each image. Received: the id "
                    f"{each['id']!r} for {names[0]!r} and {names[1]!r}."
                )
            by_id[each["id"]] = Annotation(str(each["file_name"]), size if all(size) else None)
        for each in content["annotations"]:
            annotation = by_id.get(each["image_id"])
            if annotation is None:
                unlisted += 1
                continue
            if each.get("iscrowd"):
                annotation.dropped[CROWD] += 1
                continue
            if each.get("category_id") not in labels:
                annotation.dropped[NO_CATEGORY] += 1
                continue
            annotation.add(labels[each["category_id"]], _from_xywh(each.get("bbox")))
    except (KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
        raise ValueError(
            f"{path} is no file of COCO annotations: it needs the lists `images`, `annotations` "
            f"and `categories`. Reading it failed with {error!r}."
        ) from error
    return list(by_id.values()), unlisted


def _from_xywh(box: Any) -> Sequence[Any]:
    """Return a box of COCO, `[left, top, width, height]`, as its sides; empty if it is none."""
    if not isinstance(box, list) or len(box) != 4:
        return ()
    try:
        left, top, width, height = map(float, box)
    except (TypeError, ValueError):
        return ()
    return (left, top, left + width, top + height)


def _integer(value: Any) -> int:
    """Return a positive whole number, or 0."""
    try:
        return max(0, int(float(value)))
    except (TypeError, ValueError, OverflowError):
        return 0


def dropped_objects(annotations: Mapping[str, Annotation]) -> dict[str, list[str]]:
    """Return for each reason the images of dropped objects, one name for each object."""
    result: dict[str, list[str]] = defaultdict(list)
    for name, annotation in annotations.items():
        for reason, count in annotation.dropped.items():
            result[reason] += [name] * count
    return dict(result)
