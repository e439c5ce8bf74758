"""Closed loops: model predictive control, and the policies that solvers have found."""

from trajopt_sgp.mpc.controller import Controller
from trajopt_sgp.mpc.plans import usable
from trajopt_sgp.mpc.policy_controller import PolicyController
from trajopt_sgp.mpc.receding_horizon import MPC, Fallback, Signal
from trajopt_sgp.mpc.step_record import StepRecord, summarise

__all__ = ["MPC", "Controller", "Fallback", "PolicyController", "Signal", "StepRecord", "summarise", "usable"]
