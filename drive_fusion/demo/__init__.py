"""The main job end to end at small size: traffic, senses, driver, people, learned reward, PPO on it, and a report."""
