"""FeCNN, its backbones, inference, saliency and devices."""
