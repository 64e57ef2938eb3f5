"""Views for people: a bird's-eye picture, the preview with its caption, and videos of scenes."""

from sensors.lazy import exports

__getattr__, __all__ = exports(
    __name__,
    {
        "birds_eye": ("BirdsEye", "draw_birds_eye"),
        "gallery": ("gallery_scene", "save_preview"),
        "preview": ("PreviewSize", "compose"),
        "video": ("interpolate", "write_clip_video", "write_video"),
    },
)
