"""The people: clips and pairs, the store, the review server, scripted reviewers, takeovers, and the reward model."""

from sensors.lazy import exports

__getattr__, __all__ = exports(
    __name__,
    {
        "agreement": ("agreement", "alpha_nominal", "reviewer_reports"),
        "clips": ("Clip", "ClipShelf", "cut_clips", "make_video"),
        "learning": ("learn_from_store",),
        "live_ride": ("LiveRide", "Wish"),
        "pairs": ("propose_pairs",),
        "reward_model": ("RewardModel",),
        "reward_vec": ("RewardVecEnv",),
        "ride_files": ("keep_ride", "load_ride", "replay_ride"),
        "rows": ("Assignment", "ClipRow", "LabelRow", "Progress", "Reviewer", "RideRow", "TakeoverRow"),
        "scripted": ("Teacher", "review_with", "teacher_named"),
        "store": ("LabelRejected", "Store", "StoreError"),
        "takeover": ("Rider", "watch_with"),
    },
)
