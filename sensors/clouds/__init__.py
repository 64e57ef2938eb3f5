"""Point clouds: what the lidars saw as points, cleaned, and exchanged with other tools as PCD, PLY and KITTI .bin."""

from sensors.lazy import exports

__getattr__, __all__ = exports(
    __name__,
    {
        "cleaning": ("Cleaned", "Cleaning", "clean"),
        "cloud": ("PointCloud", "clouds_of"),
        "files": ("load_cloud", "save_cloud"),
    },
)
