"""The people: clips and pairs, the store, the review server, scripted reviewers, takeovers, and the reward model."""

from sensors.lazy import exports

__getattr__, __all__ = exports(
    __name__,
    {
        "reward_model": ("RewardModel",),
        "reward_vec": ("RewardVecEnv",),
        "rows": ("Assignment", "ClipRow", "LabelRow", "Progress", "Reviewer", "TakeoverRow"),
        "store": ("LabelRejected", "Store", "StoreError"),
    },
)
