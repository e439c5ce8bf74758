"""Real arms: messages on the wire, the safety filter, a simulated arm, robots and processes on the bus."""

from trajopt_sgp.hardware.check import check_robot as check_robot
from trajopt_sgp.hardware.messages import Decoder as Decoder
from trajopt_sgp.hardware.robot import Robot as Robot
from trajopt_sgp.hardware.safety import SafetyInputs as SafetyInputs
from trajopt_sgp.hardware.safety import SafetyLimits as SafetyLimits
from trajopt_sgp.hardware.safety import SafetyState as SafetyState
from trajopt_sgp.hardware.safety import filter_command as filter_command
from trajopt_sgp.hardware.safety import iiwa_limits as iiwa_limits
from trajopt_sgp.hardware.settings import HardwareSettings as HardwareSettings
from trajopt_sgp.hardware.settings import read_settings as read_settings
