"""Object detection: `ObjectDetector`, its answers, training data and explanations."""
