"""Rollouts of a traced step as compiled loops; nothing is imported or compiled before the first rollout."""
