"""Files in other encodings are read right where that is certain, and else say which to try."""

import gzip
import lzma

import pytest

from keras_attn import datasets

CHINESE = """text\tlabel
房间太小、其他的都一般\t差评
键盘确实爽、样子也很美观\t好评
早餐还算丰富\t好评
"""
FRENCH = """text\tlabel
un thé, très léger\tbon
le café est brûlé\tmauvais
d'été\tbon
"""
RUSSIAN = """text\tlabel
очень хороший фильм\tхорошо
скучно, плохо\tплохо
"""  # noqa: RUF001


@pytest.mark.parametrize(
    ("encoding", "name"),
    [("utf-8-sig", None), ("utf-16", "utf-16"), ("utf-32", "utf-32")],
)
@pytest.mark.parametrize("suffix", [".tsv", ".txt"])
def test_the_byte_order_mark_determines_the_encoding(write, encoding, name, suffix):
    table = datasets.read_texts(write(CHINESE.encode(encoding), f"mine{suffix}"))
    assert table.label_names == ("好评", "差评")
    assert (name is None) or f"Decoded from {name}." in str(table.account)


@pytest.mark.parametrize(
    ("compress", "match"),
    [
        (gzip.compress, "compressed by gzip"),
        (lzma.compress, "xz"),
        (lambda x: b"PK\x03\x04" + x, "ZIP"),
    ],
)
def test_compressed_files_and_those_of_excel_are_named(write, compress, match):
    with pytest.raises(ValueError, match=match):
        datasets.read_texts(write(compress(CHINESE.encode())))


def test_big_endian_and_marked_files_are_read(write):
    content = b"\xfe\xff" + CHINESE.encode("utf-16-be")
    assert len(datasets.read_texts(write(content))) == 3
    assert len(datasets.read_texts(write(content), encoding="utf-16")) == 3


def test_excel_writes_utf_16_with_tabs_and_crlf(write):
    content = CHINESE.replace("\n", "\r\n").encode("utf-16")
    assert datasets.read_texts(write(content, "mine.txt")).texts[2] == "早餐还算丰富"


@pytest.mark.parametrize(
    ("text", "encoding", "suggested", "sample"),
    [
        (CHINESE, "gb18030", "gb18030", "房间太小"),
        (CHINESE, "gbk", "gb18030", "房间太小"),
        (FRENCH, "latin-1", "cp1252", "un thé, très léger"),
        (FRENCH, "cp1252", "cp1252", "un thé, très léger"),
        (RUSSIAN, "cp1251", "cp1251", "очень хороший"),
        ("text\tlabel\n房間太小\t差評\n早餐豐富\t好評\n", "big5", "big5", "房間太小"),
    ],
)
def test_another_encoding_is_suggested_with_a_sample(write, text, encoding, suggested, sample):
    path = write(text.encode(encoding))
    with pytest.raises(ValueError, match="was likely written in another encoding") as error:
        datasets.read_texts(path)
    assert f"`encoding='{suggested}'`: " in str(error.value)
    assert sample in str(error.value)
    table = datasets.read_texts(path, encoding=suggested)
    assert sample in table.texts[0]
    assert f"Decoded from {suggested}." in str(table.account)


def test_a_header_in_another_encoding_suggests_it_too(write):
    content = "评论\t标签\n很好\t好\n不好\t差\n".encode("gb18030")
    with pytest.raises(ValueError, match=r"header of .*encoding=.gb18030.`: .*评论"):
        datasets.read_texts(write(content), text_column="评论", label_column="标签")


def test_utf_16_without_a_mark_is_recognized(write):
    for encoding in ("utf-16-le", "utf-16-be"):
        path = write(b"text\tlabel\na\tx\nb\ty\n".decode().encode(encoding))
        with pytest.raises(ValueError, match=f"is NUL, as in UTF-16.*encoding='{encoding}'"):
            datasets.read_texts(path)
        assert len(datasets.read_texts(path, encoding=encoding)) == 2


def test_an_encoding_that_the_mark_contradicts_is_refused(write):
    with pytest.raises(ValueError, match=r"starts as a UTF-16 file does.*encoding='utf-16'"):
        datasets.read_texts(write(CHINESE.encode("utf-16")), encoding="utf-8")


def test_parallel_files_may_differ_in_their_marks(write):
    table = datasets.read_pairs(
        write("Hi.\nRun.\n".encode("utf-16"), "m.en"), write("嗨。\n跑。\n".encode(), "m.zh")
    )
    assert table.pairs == [("Hi.", "嗨。"), ("Run.", "跑。")]
    assert "Decoded from utf-16 and utf-8." in str(table.account)
    with pytest.raises(ValueError, match=r"encoding=.gb18030.`: .*嗨"):
        datasets.read_pairs(write(b"a\nb\n", "m.en"), write("嗨。\n跑。\n".encode("gbk"), "m.zh"))
