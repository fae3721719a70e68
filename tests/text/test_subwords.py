import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_attn.text import Normalizer, SubwordTokenizer, train_subwords
from tests.text.strings import AWKWARD, random_bytes, random_strings

pytestmark = pytest.mark.tensorflow
PIECES = ("\u2581", "a", "b", "ab", "\u2581ab", "aba", "\u6f22", "\U0001f600\u0301", "\u2581the")
FIRST = 259


@pytest.fixture(scope="module")
def tokenizer():
    return SubwordTokenizer(PIECES)


def greedy(text, pieces, first=FIRST):
    """The same by the book: word for word, the longest piece first."""
    ids = []
    for word in text.split():
        rest, marker = word, True
        while rest or marker:
            options = [
                (len(piece.replace("\u2581", " ")), place)
                for place, piece in enumerate(pieces)
                if piece.startswith("\u2581") == marker
                and rest.startswith(piece.replace("\u2581", ""))
            ]
            if options:
                length, place = max(options)
                ids.append(first + place)
                rest = rest[length - marker :]
            elif marker:
                ids.append(3 + 0x20)
            else:
                ids += [3 + byte for byte in rest[0].encode("utf-8")]
                rest = rest[1:]
            marker = False
    return ids


def test_the_longest_piece_is_taken(tokenizer):
    ids = tokenizer.tokenize(["abab  bab", "the abc"])
    assert ids.dtype == tf.int32
    named = [[tokenizer.pieces[i - FIRST] if i >= FIRST else i - 3 for i in row] for row in ids]
    assert named == [
        ["\u2581ab", "ab", "\u2581", "b", "ab"],
        ["\u2581the", "\u2581ab", ord("c")],
    ]
    assert tokenizer(["abab  bab", "the abc"]).to_list() == ids.to_list()
    assert tokenizer.size == FIRST + len(PIECES)


@pytest.mark.parametrize("with_marker", [True, False])
def test_against_loops(with_marker):
    pieces = PIECES if with_marker else tuple(p for p in PIECES if "\u2581" not in p)
    tokenizer = SubwordTokenizer(pieces)
    random = np.random.default_rng(0)
    alphabet = [
        "a",
        "b",
        "a",
        "b",
        " ",
        "the",
        "\u6f22",
        "\U0001f600",
        "\u0301",
        "\u2581",
        "\u00e9",
    ]
    texts = ["".join(random.choice(alphabet, random.integers(0, 30))) for _ in range(300)]
    normalized = [text.decode() for text in tokenizer.normalizer(texts).numpy()]
    assert tokenizer(texts).to_list() == [greedy(text, pieces) for text in normalized]


@pytest.mark.parametrize("lowercase", [True, False])
@pytest.mark.parametrize("pieces", [PIECES, ("zzz",), ("\u2581", "&", "\ufffd")])
def test_nothing_is_lost(pieces, lowercase):
    tokenizer = SubwordTokenizer(pieces, normalizer=Normalizer(lowercase=lowercase))
    texts = [*AWKWARD, *random_strings(1000, seed=5), *random_bytes(300, seed=6)]
    back = tokenizer.detokenize(tokenizer.tokenize(texts)).numpy()
    np.testing.assert_array_equal(back, tokenizer.normalizer(texts).numpy())


def test_every_length_of_utf8_survives(tokenizer):
    edges = [0x21, 0x7E, 0xA1, 0x7FF, 0x800, 0xD7FF, 0xE000, 0xFFFF, 0x10000, 0x10FFFF]
    text = "".join(map(chr, edges))
    assert tokenizer.detokenize(tokenizer([text])).numpy()[0].decode() == text


def test_without_words():
    tokenizer = SubwordTokenizer(PIECES)
    assert tokenizer(["", " \t", "a"]).to_list() == [[], [], [259, 260]]
    assert tokenizer([]).shape.as_list() == [0, None]
    assert tokenizer([""]).to_list() == [[]]
    assert tokenizer.detokenize(tokenizer([""])).numpy().tolist() == [b""]
    assert tokenizer.detokenize(tokenizer([])).shape == (0,)


@pytest.mark.parametrize("dtype", ["int32", "int64"])
def test_padding_start_and_end_are_dropped(tokenizer, dtype):
    ids = np.array([[1, 263, 260, 2, 0], [1, 2, 0, 0, 0], [259, 259, 260, 0, 0]], dtype)
    expected = [b"aba", b"", b"a"]
    assert tokenizer.detokenize(ids).numpy().tolist() == expected
    assert tokenizer.detokenize(tf.RaggedTensor.from_tensor(ids)).numpy().tolist() == expected


def test_what_a_model_may_answer(tokenizer):
    broken = tokenizer.detokenize([[3 + 0xFF, 260, 3 + 0xE2, 3 + 0x96]]).numpy()[0].decode()
    assert broken.startswith("\ufffda\ufffd")
    for wrong in (-1, tokenizer.size):
        with pytest.raises(tf.errors.InvalidArgumentError):
            tokenizer.detokenize([[wrong]])


def test_a_length_cuts():
    tokenizer = SubwordTokenizer(PIECES, max_length=2)
    assert tokenizer(["a a a", "", "ab"]).to_list() == [[259, 260], [], [263]]


@pytest.mark.slow
@pytest.mark.parametrize("text", ["ab the " * 150_000, "ab" * 500_000, "\u5b57" * 333_333])
def test_a_megabyte(tokenizer, text):
    back = tokenizer.detokenize(tf.function(tokenizer.tokenize)(tf.constant([text])))
    assert back.numpy()[0].decode() == text.strip()


def test_in_a_dataset(tokenizer):
    texts = ["ab", "", "the c", "b"]
    dataset = tf.data.Dataset.from_tensor_slices(texts).batch(3).map(tokenizer.tokenize)
    rows = [row for ids in dataset for row in ids.to_list()]
    assert rows == tokenizer(texts).to_list()


def test_a_saved_model_holds_the_pieces(tmp_path):
    tokenizer = SubwordTokenizer(PIECES, normalizer=Normalizer(html=False), max_length=7)
    inputs = keras.Input((), dtype="string")
    model = keras.Model(inputs, tokenizer(inputs))
    assert model.output.shape == (None, None)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    restored = loaded.get_layer(tokenizer.name)
    texts = tf.constant(["The ab <p>", "\U0001f600"])
    assert loaded(texts).to_list() == model(texts).to_list() == tokenizer(texts).to_list()
    assert restored.pieces == PIECES
    assert (restored.normalizer, restored.max_length) == (tokenizer.normalizer, 7)
    assert "aba" not in str(restored.get_config())
    tokenizer.save_assets(tmp_path)
    assert (tmp_path / "subwords.txt").read_text(encoding="utf-8").split() == list(PIECES)


def test_a_damaged_file_is_refused(tmp_path):
    with pytest.raises(ValueError, match="Could not read the pieces"):
        SubwordTokenizer().load_assets(tmp_path)
    for content in (b"a\nb", b"a\n\xff\n", b"a\n\n", b"a b\n"):
        (tmp_path / "subwords.txt").write_bytes(content)
        with pytest.raises(ValueError, match=r"piece|cut short"):
            SubwordTokenizer().load_assets(tmp_path)


def test_what_is_refused(tokenizer):
    for pieces in (["a b"], ["a\u2581"], ["\u2581\u2581"], [""], ["a", "a"], ["\n"]):
        with pytest.raises(ValueError, match=r"[Pp]iece"):
            SubwordTokenizer(pieces)
    with pytest.raises(ValueError, match="`max_length`"):
        SubwordTokenizer(PIECES, max_length=0)
    for use in (SubwordTokenizer().tokenize, SubwordTokenizer().detokenize):
        with pytest.raises(RuntimeError, match=r"has no pieces\. Make it with pieces"):
            use(["a"])
    with pytest.raises(TypeError, match="`normalizer` must be a Normalizer"):
        SubwordTokenizer(PIECES, normalizer=str.lower)
    with pytest.raises(ValueError, match=r"`texts` must have shape \(batch,\)"):
        tokenizer(keras.Input((3,), dtype="string"))
    with pytest.raises(TypeError, match="`texts` must be"):
        tokenizer.tokenize([1])
    with pytest.raises(ValueError, match="must have 1 axis"):
        tokenizer.tokenize("text")


TEXTS = ["the lowest and the newest", "lower, newer & wider", "the widest \u6f22 \u2581"] * 3


def test_training_finds_what_repeats():
    tokenizer = train_subwords(TEXTS, size=330)
    assert tokenizer.size <= 330
    assert "\u2581the" in tokenizer.pieces
    assert tokenizer(["the the"]).to_list() == [[FIRST + tokenizer.pieces.index("\u2581the")] * 2]
    again = train_subwords(iter(TEXTS), size=330)
    assert again.pieces == tokenizer.pieces
    normalizer = Normalizer(lowercase=True)
    assert train_subwords(["AA AA"], 300, normalizer).normalizer == normalizer
    texts = [*TEXTS, *random_strings(50, seed=7)]
    back = tokenizer.detokenize(tokenizer(texts)).numpy()
    np.testing.assert_array_equal(back, tokenizer.normalizer(texts).numpy())


def test_seldom_characters_are_bytes():
    texts = ["aab", "aac", *map(chr, range(0x4E00, 0x4F00))]
    tokenizer = train_subwords(texts, size=FIRST + 20, min_count=2)
    assert set("".join(tokenizer.pieces)) == {"\u2581", "a"}
    crowded = train_subwords(texts * 2, size=FIRST + 20, min_count=2)
    assert crowded.size <= FIRST + 20
    assert crowded.pieces == train_subwords(texts * 2, size=FIRST + 20, min_count=2).pieces


def test_training_refuses_what_it_cannot_do(monkeypatch):
    with pytest.raises(ValueError, match="`size` must be an integer of at least 260"):
        train_subwords(TEXTS, size=259)
    with pytest.raises(ValueError, match="holds no character that occurs 2 times"):
        train_subwords([], size=300)
    with pytest.raises(TypeError, match="one string"):
        train_subwords("text", size=300)
    with pytest.raises(TypeError, match="`texts` must be"):
        train_subwords([3], size=300)
    monkeypatch.setitem(__import__("sys").modules, "tokenizers", None)
    with pytest.raises(ImportError, match=r"pip install 'keras-attn\[train\]'"):
        train_subwords(TEXTS, size=300)


def test_punctuation_may_be_separated():
    texts = ["the man. the man, (the man)! l'homme-ci"] * 5
    joined = train_subwords(texts, 400).pieces
    apart = train_subwords(texts, 400, split_punctuation=True).pieces
    assert "\u2581man." in joined
    assert "\u2581man" in apart
    mixed = [p for p in apart if any(c.isalnum() for c in p) and any(c in ".,()!-" for c in p)]
    assert mixed == []
    tokenizer = SubwordTokenizer(apart, Normalizer(lowercase=False))
    assert tokenizer.detokenize(tokenizer(texts[:1])).numpy()[0].decode() == texts[0]


def test_the_strings_of_ids(tokenizer):
    ids = [0, 1, 2, 3, 258, 259, 263]
    shown = ["<padding>", "<start>", "<end>", "<0x00>", "<0xFF>", "\u2581", "\u2581ab"]
    assert tokenizer.token_strings(ids) == shown


def test_pieces_are_written_and_read(tokenizer, tmp_path):
    tokenizer.write(tmp_path / "pieces.txt")
    other = SubwordTokenizer()
    other.read(tmp_path / "pieces.txt")
    assert other.pieces == tokenizer.pieces
    other.assign(["x"])
    assert other.pieces == ("x",)
    assert other(["x"]).to_list() == [[3 + 0x20, FIRST]]
    with pytest.raises(ValueError, match="Could not read"):
        other.read(tmp_path / "none.txt")


def test_spaces_at_the_ends_are_not_written(tokenizer):
    assert tokenizer.detokenize([[FIRST, FIRST, FIRST + 1, FIRST]]).numpy().tolist() == [b"a"]


def test_what_is_rarely_seen_together_is_no_piece():
    pieces = train_subwords(["ab", "a", "b"], size=300, min_count=2).pieces
    assert "\u2581a" in pieces
    assert "\u2581ab" not in pieces


def test_characters_and_known_characters_are_counted(tokenizer):
    ids = tokenizer(["abba \u6f22\u6f22", "", "\u00e9\U0001f600 a", "the \u2581"])
    counts = [tokenizer.count_characters(row) for row in ids]
    assert counts == [(6, 6), (0, 0), (3, 1), (4, 3)]


def test_a_configuration_of_version_0_1_keeps_its_rules(tokenizer):
    config = tokenizer.get_config()
    assert SubwordTokenizer.from_config(config).normalizer == tokenizer.normalizer
    del config["normalizer"]["rules"], config["normalizer"]["fold"]
    assert SubwordTokenizer.from_config(config).normalizer == Normalizer(lowercase=False, rules=1)


def test_pieces_of_targets_as_they_are_written():
    written = Normalizer(lowercase=False, html=False, fold=False)
    read = Normalizer(lowercase=False, html=False)
    texts, targets = ["a\uff1f"] * 4, ["a\uff1f\u3000b\u202f\u2019"] * 4
    tokenizer = train_subwords(texts, 300, read, targets=targets, target_normalizer=written)
    assert "?" in tokenizer.pieces
    assert {"\uff1f", "\u3000", "\u202f"} <= set("".join(tokenizer.pieces))
    ids = tokenizer.tokenize(targets[:1], written)
    assert tokenizer.detokenize(ids).numpy()[0].decode() == targets[0]
    assert tokenizer.count_characters(ids[0])[1] == len(targets[0])


def test_vowel_signs_do_not_part_words():
    text = "\u0939\u093f\u0928\u094d\u0926\u0940 \u0e17\u0e35\u0e48\u0e19\u0e35\u0e48"
    tokenizer = train_subwords([text] * 4, 300, split_punctuation=True)
    assert [len(tokenizer([word])[0]) for word in text.split()] == [1, 1]
