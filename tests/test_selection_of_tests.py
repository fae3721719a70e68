"""Which tests run: the options `--slow`, `--exhaustive` and `--part` of tests/conftest.py."""

import argparse
import itertools

import pytest

from tests import conftest


class Item:
    def __init__(self, *marks):
        self.marks = marks

    def get_closest_marker(self, name):
        return name if name in self.marks else None


def test_each_exhaustive_test_is_in_one_part():
    plain, slow = Item(), Item("slow")
    exhaustive = [Item("exhaustive"), Item("slow", "exhaustive"), *(Item("exhaustive"),) * 5]
    exhaustive = [Item(*item.marks) for item in exhaustive]
    items = [plain, *exhaustive, slow]

    def run(slow, part):
        left_out = conftest.items_left_out(items, slow, part)
        return [item for item in items if item not in left_out]

    assert run(False, None) == [plain]
    assert run(True, None) == [plain, slow]
    assert run(True, (1, 1)) == items
    parts = [run(False, (number, 3))[1:] for number in (1, 2, 3)]
    assert sorted(map(id, itertools.chain(*parts))) == sorted(map(id, exhaustive))
    assert [len(part) for part in parts] == [3, 2, 2]


@pytest.mark.parametrize("text", ["0/5", "6/5", "2", "a/b", "1/0"])
def test_other_parts_are_refused(text):
    assert conftest._part("2/5") == (2, 5)
    with pytest.raises(argparse.ArgumentTypeError, match=r"such as 2/5\. Received"):
        conftest._part(text)
