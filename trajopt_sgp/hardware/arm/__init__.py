"""The iiwa14 with its pusher: model, kinematics, and a simulation in impedance control. Needs MuJoCo."""

from trajopt_sgp.hardware.arm.kinematics import ArmKinematics as ArmKinematics
from trajopt_sgp.hardware.arm.model import VERTICAL_POSE as VERTICAL_POSE
from trajopt_sgp.hardware.arm.model import BoxParameters as BoxParameters
from trajopt_sgp.hardware.arm.model import build_model as build_model
from trajopt_sgp.hardware.arm.simulation import ArmSimulation as ArmSimulation
from trajopt_sgp.hardware.state import ArmState as ArmState
