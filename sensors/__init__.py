"""The senses: scene, road map, weather, rigs, and the cameras, lidars and radars that look at a scene."""

from sensors.lazy import exports

__getattr__, __all__ = exports(
    __name__,
    {
        "errors": ("ConfigError", "DriveFusionError", "SensorFault"),
        "faults": ("FAULTS_OF", "FaultKind", "Faults", "Modality", "fault_suite"),
        "frames": (
            *("EGO_FEATURES", "RADAR_FEATURES", "CameraFrames", "EgoFrames", "Frames", "LidarFrames"),
            *("Origin", "RadarFrames", "Semantic"),
        ),
        "rendering": ("render",),
        "camera.config": ("Camera",),
        "lidar.config": ("Lidar",),
        "mount": ("Mount",),
        "presets": ("RIGS", "rig_named"),
        "radar.config": ("Radar",),
        "radar.nuscenes": ("nuscenes_fields",),
        "rig": ("Rig",),
        "road": ("Lane", "Line", "Pieces", "RoadMap", "chain"),
        "scene": ("Kind", "Light", "Scene"),
        "weather": ("Weather",),
    },
)
