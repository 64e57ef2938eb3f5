"""The loop: drive, ask people, learn the reward, learn to drive by it, and know when to stop."""
