"""The people: clips and pairs, the store, the review server, scripted reviewers, takeovers, and the reward model."""

from sensors.lazy import exports

__getattr__, __all__ = exports(
    __name__,
    {
        "clips": ("Clip", "ClipShelf", "cut_clips", "make_video"),
        "learning": ("learn_from_store",),
        "pairs": ("propose_pairs",),
        "reward_model": ("RewardModel",),
        "reward_vec": ("RewardVecEnv",),
        "rows": ("Assignment", "ClipRow", "LabelRow", "Progress", "Reviewer", "TakeoverRow"),
        "scripted": ("Teacher", "review_with", "teacher_named"),
        "store": ("LabelRejected", "Store", "StoreError"),
        "takeover": ("Rider", "watch_with"),
    },
)
