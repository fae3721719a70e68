"""Run in a process of its own: it has TensorFlow, and neither Keras nor this package."""

import json
import pathlib
import sys


def main(folder):
    for name in ("keras", "keras_attn", "tf_keras", "tokenizers"):
        sys.modules[name] = None  # an import of it fails
    import tensorflow as tf

    loaded = tf.saved_model.load(str(folder / "model"))
    texts = [bytes.fromhex(text) for text in json.loads((folder / "texts.json").read_text())]
    answers = []
    for batch in (texts, [], texts[:1]):
        answer = loaded.serve(tf.constant(batch, tf.string))
        answers.append(
            {
                "normalized": [text.hex() for text in answer["normalized"].numpy()],
                "ngrams": answer["ngrams"].to_list(),
                "ids": answer["ids"].to_list(),
                "subwords": answer["subwords"].to_list(),
                "back": [text.hex() for text in answer["back"].numpy()],
            }
        )
    (folder / "answers.json").write_text(json.dumps(answers))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
