"""The senses: scene, road map, weather, rigs, and the cameras, lidars and radars that look at a scene."""

from sensors.lazy import exports

__getattr__, __all__ = exports(
    __name__,
    {
        "errors": ("ConfigError", "DriveFusionError", "SensorFault"),
        "frames": ("EGO_FEATURES", "RADAR_FEATURES", "CameraFrames", "EgoFrames", "Frames", "LidarFrames", "RadarFrames", "Semantic"),
        "rendering": ("render",),
        "rig": ("RIGS", "Camera", "Lidar", "Mount", "Radar", "Rig", "rig_named"),
        "road": ("Lane", "Line", "Pieces", "RoadMap", "chain"),
        "scene": ("FaultKind", "Faults", "Kind", "Light", "Modality", "Scene", "Weather"),
    },
)
