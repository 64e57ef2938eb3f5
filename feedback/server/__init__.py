"""The review room: people compare rides in their browser."""

from sensors.lazy import exports

__getattr__, __all__ = exports(
    __name__,
    {"app": ("create_app",), "config": ("ReviewConfig",), "command": ("serve",), "ride_desk": ("RideOffer",)},
)
