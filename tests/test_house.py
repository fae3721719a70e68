"""What holds for the repository as a whole."""

import ast
import inspect
import re
import subprocess
import sys
import tomllib

import pytest

import keras_attn
from tests.conftest import ROOT

ROOMS = sorted(name for name in keras_attn.__all__ if inspect.ismodule(getattr(keras_attn, name)))
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_first_two_sh_blocks_install_and_run():
    blocks = re.findall(r"^```sh\n(.*?)^```", README, flags=re.M | re.S)
    assert "keras-attn demo" in blocks[0]
    assert "pytest" in blocks[1]


def test_the_version_is_stated_once_more_and_the_same():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] == keras_attn.__version__
    citation = (ROOT / "CITATION.cff").read_text()
    assert f"\nversion: {keras_attn.__version__}\n" in citation
    assert f"## [{keras_attn.__version__}]" in (ROOT / "CHANGELOG.md").read_text()


@pytest.mark.exhaustive
def test_the_python_examples_of_the_readme_run(tmp_path):
    from PIL import Image

    blocks = re.findall(r"^```python\n(.*?)^```", README, flags=re.M | re.S)
    assert blocks
    Image.new("RGB", (64, 48), (90, 120, 200)).save(tmp_path / "photo.png")
    script = "\n".join(blocks)
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-c", script],
        cwd=tmp_path,
        env={**__import__("os").environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]


def test_every_public_name_is_documented():
    undocumented = []
    for module in (keras_attn, *(getattr(keras_attn, room) for room in ROOMS)):
        for name in module.__all__:
            value = getattr(module, name)
            if callable(value) and not (value.__doc__ or "").strip():
                undocumented.append(f"{module.__name__}.{name}")
    assert undocumented == []


@pytest.mark.parametrize("room", ROOMS)
def test_unknown_names_are_attribute_errors(room):
    with pytest.raises(AttributeError):
        _ = getattr(keras_attn, room).no_such_name


def test_the_package_offers_models_by_name_and_from_files():
    assert {"build", "list_models", "load"} == set(keras_attn.__all__) - set(ROOMS)
    assert keras_attn.build is keras_attn.zoo.build
    with pytest.raises(AttributeError):
        _ = keras_attn.no_such_name


def test_the_chinese_readme_has_the_code_of_the_english_one():
    chinese = (ROOT / "README.zh-CN.md").read_text(encoding="utf-8")
    for language in ("sh", "python"):
        pattern = rf"^```{language}\n(.*?)^```"
        blocks = [re.findall(pattern, text, flags=re.M | re.S) for text in (README, chinese)]
        assert blocks[0] == blocks[1]
    for path in re.findall(r"\]\(([^)#:]+)", chinese):
        assert (ROOT / path).is_file(), path


def test_messages_have_no_forms_for_singular_and_plural_at_once():
    found = []
    for path in sorted((ROOT / "keras_attn").rglob("*.py")):
        nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
        docstrings = [node.value for node in nodes if isinstance(node, ast.Expr)]
        for node in nodes:
            if not isinstance(node, ast.Constant) or node in docstrings:
                continue
            if isinstance(node.value, str) and re.search(r"[a-z]\(e?s\)", node.value):
                found.append(f"{path.name}:{node.lineno}")
    assert found == [], "use keras_attn._wording.counted"
