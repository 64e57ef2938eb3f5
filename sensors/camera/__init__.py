"""The camera: geometry, light, and what a pixel shows."""
