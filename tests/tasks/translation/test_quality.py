"""BLEU by the rules of the target language, said or seen."""

import numpy as np
import pytest

from keras_attn import datasets, tasks
from keras_attn.datasets.languages import base_language, guess_language
from keras_attn.datasets.pairs import make_pair_split, make_reference_split
from keras_attn.recipes import describe_task
from keras_attn.tasks.translation import quality
from tests.conftest import real_data_dir
from tests.tasks.small_translators import new_translator

pytestmark = pytest.mark.tensorflow
sacrebleu = pytest.importorskip("sacrebleu")

TEXTS = {
    "zh": ("zh", ["她总是在班上拿倒数第一。", "我用 GitHub 写程序,你呢?"]),
    "ja": ("ja-mecab", ["犬が雪の中を走っている。", "猫は寝ています。"]),
    "ko": ("ko-mecab", ["개가 눈 속에서 빨리 달린다.", "고양이가 의자 위에서 잔다."]),
    "th": ("char", ["สุนัขวิ่งในหิมะ", "แมวนอนอยู่บนเก้าอี้"]),
    "lo": ("char", ["ຫມາແລ່ນໃນຫິມະ"]),
    "km": ("char", ["ឆ្កែរត់ក្នុងព្រិល"]),
    "my": ("char", ["ခွေးသည်နှင်းထဲတွင်ပြေးသည်"]),
    None: ("13a", ["A dog runs in the snow.", "Собака бежит по снегу."]),
}


def split_of(texts, language=None):
    return make_pair_split([("x", text) for text in texts], language)


@pytest.mark.parametrize("language", TEXTS)
def test_perfect_output_has_a_bleu_of_100_by_the_rules_of_its_script(language):
    tokenizer, texts = TEXTS[language]
    split = split_of(texts)
    assert quality.target_language(split) == language
    result = quality.corpus_bleu(texts, split)
    assert result["bleu"] == pytest.approx(100.0)
    assert quality.corpus_chrf(texts, split)["chrf"] == pytest.approx(100.0)
    signature = result["bleu_signature"]
    if f"note:{tokenizer}-is-not-installed" in signature:
        assert tokenizer.endswith("mecab")
        assert "|tok:char|" in signature
    else:
        assert f"|tok:{tokenizer}|" in signature
        assert "note" not in signature
    assert quality.lowercased_token_bleu(texts, split) == {}


def test_a_language_that_is_said_decides():
    chinese = TEXTS["zh"][1]
    assert "|tok:13a|" in quality.corpus_bleu(chinese, split_of(chinese, "de"))["bleu_signature"]
    for code in ("zh-Hant", "cmn", "zh_CN"):
        split = split_of(["abc"], code)
        assert quality.target_language(split) == "zh"
        assert "|tok:zh|" in quality.corpus_bleu(["abc"], split)["bleu_signature"]
    assert quality.target_language(split_of(["abc"]), "fr") == "fr"
    assert quality.lowercased_token_bleu(["abc"], split_of(["abc"], "da")) == {}  # no rules
    assert quality.lowercased_token_bleu(["abc"], split_of(["abc"], "deu"))["token_language"] == (
        "de"
    )


def test_languages_are_seen_by_the_most_part():
    assert guess_language([]) is guess_language(["", "12 ?!"]) is None
    assert guess_language(["我常用 GitHub。", "A dog"]) == "zh"  # three characters, three words
    assert guess_language(["我 use GitHub and a dog"]) is None
    assert guess_language(["東京都", "犬が走る"]) == "ja"
    assert [base_language(code) for code in ("PT-br", "jpn", "fil")] == ["pt", "ja", "fil"]


@pytest.mark.parametrize(
    ("references", "translations"),
    [
        (["a b c\nd e f g", "h i j k l"], ["a b c d e f g", "h i j k l"]),
        (["你好吗\n我很好吧"], ["你好吗我很好吧"]),
        (["你 好 吗 我 很 好"], ["你好吗我很好"]),
    ],
)
def test_lines_and_spaces_of_a_reference(references, translations):
    result = quality.corpus_bleu(translations, split_of(references))
    assert result["bleu"] == pytest.approx(100.0)


def test_data_without_pairs_or_references_are_refused():
    with pytest.raises(ValueError, match="BLEU needs pairs of sentences"):
        quality.corpus_bleu([], split_of([]))
    with pytest.raises(ValueError, match=r"empty ones for 1 of 2 sources, the first in row 1"):
        quality.corpus_bleu(["a", "b"], split_of(["a", " "]))
    split = make_reference_split([("x", ""), ("x", "a b c d"), ("y", "e")])
    assert quality.corpus_bleu(["a b c d", "e"], split)["bleu"] == pytest.approx(100.0)


def test_a_translator_knows_what_it_writes_and_its_figures_name_it(tmp_path):
    chinese = ["她总是在班上拿倒数第一", "我很好你呢"]
    model = new_translator()
    assert model.target_language is None
    model.adapt(["a", "b"], [chinese[0].encode(), chinese[1]])
    assert model.target_language == "zh"
    model.save(tmp_path / "model.keras")
    assert tasks.Translator.from_config(model.get_config()).target_language == "zh"
    model.translate = lambda texts, **_: [tasks.Translation(text, 0.0) for text in chinese]
    for language in (None, "ja"):
        metrics = model.evaluate_split(make_pair_split(zip("ab", chinese, strict=True), language))
        assert metrics["target_language"] == (language or "zh")
        assert metrics["bleu"] == pytest.approx(100.0)
        assert "token_language" not in metrics
        task = describe_task("translation")
        assert set(task.metric_columns(metrics)) == {"BLEU", "chrF", "loss", "examples"}
        assert metrics["bleu_signature"] in task.metric_notes(metrics)[0]
        assert task.summary(metrics) == "100.00 BLEU, 100.00 chrF"


def test_the_language_of_a_table_is_said_or_seen(tmp_path):
    path = tmp_path / "mine.tsv"
    rows = [f"{number}\t第{number}个句子" for number in range(20)]
    path.write_text("\n".join(["source\ttarget", *rows]), encoding="utf-8")
    for said, language in ((None, "zh"), ("ja", "ja")):
        table = datasets.read_pairs(path, target_language=said)
        dataset = datasets.split_pairs(table)
        assert table.target_language == dataset.language == language
        assert {split.target_language for split in dataset.values()} == {language}
    for wrong in ("Chinese", "", 3):
        with pytest.raises(ValueError, match="`target_language` must be the code of a language"):
            datasets.read_pairs(path, target_language=wrong)


@pytest.mark.data("cmn-eng")
def test_real_chinese_references_have_a_bleu_of_100():
    dataset = datasets.load("tatoeba_en_zh", real_data_dir("cmn-eng"))
    split = dataset["test"].take(np.arange(300))
    result = quality.corpus_bleu(list(split.targets), split, bootstrap=10)
    assert result["bleu"] == pytest.approx(100.0)
    assert "|tok:zh|" in result["bleu_signature"]
    shortened = [text[1:] for text in split.targets]
    expected = sacrebleu.corpus_bleu(shortened, quality.references(split), tokenize="zh").score
    assert quality.corpus_bleu(shortened, split)["bleu"] == expected
    assert 50.0 < expected < 100.0
