"""From heatmaps to measured 3D lesions and their clusters."""
