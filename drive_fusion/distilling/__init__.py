"""Distilling: a driver who was told the world teaches one who has to look, on the roads that the pupil itself gets to."""
