"""Retraining FeCNN from labelled slices (section 4.2). A first version: enough to make the bundled model."""
