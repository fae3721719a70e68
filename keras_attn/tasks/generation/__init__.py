"""Text generation: `TextGenerator`, its answers, training data and explanation."""
