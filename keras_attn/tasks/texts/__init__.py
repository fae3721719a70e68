"""Text classification: `TextClassifier`, its answers, training data and explanation."""
