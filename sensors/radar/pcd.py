"""Radar detections as nuScenes keeps them: a binary PCD file with its fields in its order, which open3d's writer would not keep."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


def save_radar(path: str | Path, detections: NDArray[Any]) -> None:
    """Write one scan.

    Args:
        path: Where to write.
        detections: Rows of ``sensors.radar.nuscenes.FIELDS``, (D,).
    """
    rows = np.ascontiguousarray(detections)
    types = [rows.dtype[name] for name in rows.dtype.names or ()]
    head = {
        "VERSION": "0.7",
        "FIELDS": " ".join(rows.dtype.names or ()),
        "SIZE": " ".join(str(one.itemsize) for one in types),
        "TYPE": " ".join("F" if one.kind == "f" else "I" for one in types),
        "COUNT": " ".join("1" for _ in types),
        "WIDTH": str(len(rows)),
        "HEIGHT": "1",
        "VIEWPOINT": "0 0 0 1 0 0 0",
        "POINTS": str(len(rows)),
        "DATA": "binary",
    }
    lines = ["# .PCD v0.7 - Point Cloud Data file format", *(f"{name} {value}" for name, value in head.items())]
    Path(path).write_bytes("\n".join(lines).encode() + b"\n" + rows.tobytes())
