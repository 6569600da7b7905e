"""From a photo to the canonical frame: light, mask, alignment, one affine transform."""
