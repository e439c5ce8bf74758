"""Robots, the safety filter and the run loop. Nothing is here yet: plans run in simulation, in `trajopt_sgp.envs`."""
