"""The people: clips and pairs, the store, the review server, scripted reviewers, takeovers, and the reward model."""

from sensors.lazy import exports

__getattr__, __all__ = exports(
    __name__,
    {
        "agreement": ("agreement", "alpha_nominal", "reviewer_reports"),
        "clips": ("Clip", "ClipShelf", "cut_clips", "make_video"),
        "disputes": ("disagreement_queue", "self_agreement"),
        "learning": ("learn_from_store",),
        "live_ride": ("LiveRide", "Wish"),
        "pairs": ("propose_pairs",),
        "reviewers": ("Judgements", "fit_reviewers"),
        "reward_distance": ("reward_distance",),
        "reward_fit": ("Comparison", "RideWindows"),
        "reward_model": ("RewardConfig", "RewardModel"),
        "reward_vec": ("RewardVecEnv",),
        "ride_files": ("keep_ride", "load_ride", "replay_ride"),
        "riders": ("Colluder", "ColludingRider", "rider_named"),
        "rows": ("Assignment", "ClipRow", "LabelRow", "Progress", "Reviewer", "RideRow", "TakeoverRow"),
        "scripted": ("Teacher", "review_with", "teacher_named"),
        "selection": ("QueryMix", "choose_queries"),
        "store": ("LabelRejected", "Store", "StoreError"),
        "takeover": ("Rider", "watch_with"),
    },
)
