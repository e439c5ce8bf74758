"""The safety filter: limits of motion that can always be kept, and reasons to stop."""

from trajopt_sgp.hardware.safety.filter import LATCHED as LATCHED
from trajopt_sgp.hardware.safety.filter import Mode as Mode
from trajopt_sgp.hardware.safety.filter import SafetyDecision as SafetyDecision
from trajopt_sgp.hardware.safety.filter import SafetyInputs as SafetyInputs
from trajopt_sgp.hardware.safety.filter import SafetyLimits as SafetyLimits
from trajopt_sgp.hardware.safety.filter import SafetyState as SafetyState
from trajopt_sgp.hardware.safety.filter import begin_anew as begin_anew
from trajopt_sgp.hardware.safety.filter import filter_command as filter_command
from trajopt_sgp.hardware.safety.filter import reset as reset
from trajopt_sgp.hardware.safety.iiwa import iiwa_limits as iiwa_limits
from trajopt_sgp.hardware.safety.motion import MotionLimits as MotionLimits
from trajopt_sgp.hardware.safety.motion import Step as Step
from trajopt_sgp.hardware.safety.motion import brake as brake
from trajopt_sgp.hardware.safety.motion import step_towards as step_towards
