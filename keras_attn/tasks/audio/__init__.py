"""Classification of sounds: `AudioClassifier`, its answers, training data and explanations."""
