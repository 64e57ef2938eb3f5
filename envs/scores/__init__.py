"""Scores that the field knows, in batch over worlds: what each episode and each decision was worth as driving."""

from envs.scores.agents import AgentsScores
from envs.scores.constants import ScoreConstants
from envs.scores.episode import EpisodeScores
from envs.scores.reference import has_autopilot, idm_progress

__all__ = ["AgentsScores", "EpisodeScores", "ScoreConstants", "has_autopilot", "idm_progress"]
