"""The choices that the panel offers, in its words."""

PRESETS = ("enhanced", "paper")
DEVICES = ("auto", "cpu", *(f"cuda:{index}" for index in range(16)), "mps")
COLOR_SCALES = {
    "Jet (as in the paper)": "jet",
    "Viridis (perceptually uniform)": "viridis",
    "Inferno (perceptually uniform)": "inferno",
    "Lesion clusters": "clusters",
}
