"""What users can choose from, for command line and panel alike; imports nothing, so that both open fast."""

PRESETS = ("enhanced", "paper")
DEVICES = ("auto", "cpu", "cuda", "mps")
COLOR_MAPS = ("jet", "viridis", "inferno")  # of the lesion activation map
