"""The radar: scatterers, and what the detector makes of them."""
