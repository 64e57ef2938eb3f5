"""Model cards: what they say is what the checkpoint is, and they never stand in its way."""

from __future__ import annotations

from drive_fusion.model_card import NAME, card_of
from drive_fusion.ppo import FusedPPO


def rows_of(card: str) -> dict[str, str]:
    lines = [line.strip("| ").split(" | ") for line in card.splitlines() if line.startswith("| ") and not line.startswith("| |")]
    return {name: value for name, value in lines}


def test_a_checkpoint_has_a_card_that_tells_what_it_is(make_env, tmp_path):
    model = FusedPPO(
        env=make_env(),
        rig="micro",
        spatial="attention",
        temporal="gru",
        modality_dropout=0.25,
        n_steps=8,
        batch_size=16,
        seed=3,
        device="cpu",
    )
    model.learn(32)
    model.save(tmp_path / "a")
    card = (tmp_path / "a" / NAME).read_text()
    assert card == card_of(model) and card.startswith("# A fused driver: attention in space, gru in time\n")
    rows = rows_of(card)
    assert rows["parameters"] == f"{sum(weight.numel() for weight in model.policy.parameters()):,}"
    expected = {"size": "micro", "rig": "micro", "sensors": "3 cameras, 1 lidar, 1 radar", "memory": "gru", "modality dropout": "0.25"}
    expected |= {"environment steps": "32", "seed": "3", "gamma": "0.99", "n_steps": "8", "actions": "Discrete(5)"}
    assert {name: rows[name] for name in expected} == expected
    assert "must not steer a real car" in card
    again = FusedPPO.load(tmp_path / "a", device="cpu")
    again.save(tmp_path / "a")
    assert rows_of((tmp_path / "a" / NAME).read_text()) == rows


def test_a_card_names_the_world_and_its_reward():
    from drive_fusion.rewards import CrashPenalty
    from envs.sb3 import make_sb3_vec

    venv = CrashPenalty(make_sb3_vec("highway-fast-v0", 2, rig=None, seed=0), 3.0)
    model = FusedPPO("MlpPolicy", venv, n_steps=8, batch_size=16, seed=0, device="cpu")
    rows = rows_of(card_of(model))
    assert rows["world"] == "highway-fast-v0, 2 at once" and rows["reward"] == "the world's own, less 3 for a crash"
    assert "rig" not in rows and card_of(model).startswith("# A driver without sensors")
