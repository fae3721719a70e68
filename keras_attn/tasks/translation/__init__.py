"""Translation: `Translator`, its answers, training data and measures of quality."""
