"""Closed loops: model predictive control, and the policies that solvers have found."""

from trajopt_sgp.mpc.controller import Controller as Controller
from trajopt_sgp.mpc.plans import usable as usable
from trajopt_sgp.mpc.policy_controller import PolicyController as PolicyController
from trajopt_sgp.mpc.receding_horizon import MPC as MPC
from trajopt_sgp.mpc.receding_horizon import Fallback as Fallback
from trajopt_sgp.mpc.receding_horizon import Signal as Signal
from trajopt_sgp.mpc.step_record import StepRecord as StepRecord
from trajopt_sgp.mpc.step_record import summarise as summarise
