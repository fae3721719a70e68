"""Image classification: `ImageClassifier`, its answers, training data and attention maps."""
