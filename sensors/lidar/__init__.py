"""The lidar: rays, and what the detector makes of them."""
