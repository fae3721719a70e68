"""The example from a folder of images to a server, run as it stands."""

import importlib.util
import subprocess
import sys

import pytest

from tests.conftest import ROOT

NEEDED = ("ray", "gradio", "onnxruntime", "tf2onnx", "ai_edge_litert", "matplotlib")
missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]


@pytest.mark.exhaustive
@pytest.mark.tensorflow
@pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}")
def test_all_formats_and_the_server_give_the_answer_of_the_model(tmp_path):
    example = str(ROOT / "examples" / "end_to_end.py")
    options = ("--once", "--port", "8019", "--page-port", "8020")
    done = subprocess.run(
        [sys.executable, example, *options],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    explained = next(line for line in done.stdout.splitlines() if "drawn in" in line)
    label = explained.split()[0]
    answers = [line for line in done.stdout.splitlines() if " answers " in line]
    assert len(answers) == 3  # ONNX, LiteRT, the server
    assert all(f" answers {label} (" in line for line in answers), answers
    assert f"answers {explained.partition(',')[0]}" in answers[-1]  # with the same score
