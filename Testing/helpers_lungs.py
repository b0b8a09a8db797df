"""Single images as the network sees them, for tests."""

import numpy as np
from LesionAnalysisLib.lungs import segment_image
from LesionAnalysisLib.lungs.slicing import image_region


def prepare_image(image, preprocessing, index=0):
    """The ``LungSlice`` of an image (H, W) uint8; None for one without content."""
    image = np.ascontiguousarray(image)
    region = image_region(image, segment_image(image), preprocessing, index, preprocessing.margin)
    if region is None:
        return None
    return region.view(preprocessing.size, preprocessing.margin, preprocessing.mask_images)
