"""What a decision earned and whether the episode ended (HighwayEnv._reward, _is_terminated, _is_truncated)."""

from __future__ import annotations

from typing import Any

from envs.traffic.elementary import clip
from envs.traffic.layout import LANE_WIDTH_M, Rules
from envs.traffic.physics import on_lane
from sensors.jit import leaf


@leaf()
def judge(ego: Any, clock_s: float, rules: Rules, outcome: Any) -> None:
    """Write the reward, its terms and the ends of the episode.

    Args:
        ego: The ego's record.
        clock_s: highway-env's time [s].
        rules: Weights and limits.
        outcome: OUTCOME record to write.
    """
    low, high = rules.reward_speed_low_mps, rules.reward_speed_high_mps
    outcome.collision_reward = 1.0 if ego.crashed else 0.0
    outcome.right_lane_reward = ego.target_lane / max(rules.lanes - 1, 1)
    outcome.high_speed_reward = clip((ego.speed_mps * ego.cos - low) / (high - low), 0.0, 1.0)
    on_road = on_lane(ego.x_m, ego.y_m, ego.lane, LANE_WIDTH_M / 2.0)
    outcome.on_road_reward = 1.0 if on_road else 0.0
    reward = rules.collision_weight * outcome.collision_reward + rules.right_lane_weight * outcome.right_lane_reward
    reward += rules.high_speed_weight * outcome.high_speed_reward
    if rules.normalize:
        best = rules.high_speed_weight + rules.right_lane_weight
        reward = (reward - rules.collision_weight) / (best - rules.collision_weight)
    outcome.reward = reward * outcome.on_road_reward
    outcome.terminated = ego.crashed or (rules.offroad_terminal and not on_road)
    outcome.truncated = clock_s >= rules.duration_s
