"""``drive-fusion export``: labels and recorded drives for other tools, and labels of other tools for a study."""
