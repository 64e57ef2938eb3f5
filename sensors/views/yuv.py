"""Colour for video: RGB pictures to the planes of yuv420p, in whole numbers, so that equal pictures give equal files."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sensors.jit import kernel


@kernel()
def _fill_planes(picture, planes, blue, red):  # type: ignore[no-untyped-def]
    """ITU-R BT.709 at limited range, in 16-bit fixed point; colour differences are means of two by two pixels."""
    height, width, _ = picture.shape
    for j in range(height // 2):
        for i in range(width // 2):
            r, g, b = 0, 0, 0
            for n in range(4):
                v, u = 2 * j + (n >> 1), 2 * i + (n & 1)
                pr, pg, pb = int(picture[v, u, 0]), int(picture[v, u, 1]), int(picture[v, u, 2])
                planes[v, u] = (11966 * pr + 40254 * pg + 4064 * pb + 1081344) >> 16
                r, g, b = r + pr, g + pg, b + pb
            place = j * (width // 2) + i
            blue[place] = (-6596 * r - 22189 * g + 28784 * b + 33685504) >> 18
            red[place] = (28784 * r - 26145 * g - 2639 * b + 33685504) >> 18


def yuv420p(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Turn an RGB picture (H, W, 3) of even size into its planes, (H * 3 / 2, W) as PyAV takes them."""
    height, width, _ = picture.shape
    planes = np.empty((height * 3 // 2, width), np.uint8)
    chroma = planes[height:].reshape(2, -1)
    _fill_planes(np.ascontiguousarray(picture), planes, chroma[0], chroma[1])
    return planes
