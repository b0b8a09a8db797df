"""Options of the command line and the panel; imports nothing, so that both start fast."""

PRESETS = ("enhanced", "paper")
DEVICES = ("auto", "cpu", "cuda", "mps")
COLOR_MAPS = ("jet", "viridis", "inferno")  # of the lesion activation map
