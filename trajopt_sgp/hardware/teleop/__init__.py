"""An arm moved by hand: keys or a joystick become plans, which the tracker follows behind the safety filter."""

from trajopt_sgp.hardware.teleop.controls import Controls as Controls
from trajopt_sgp.hardware.teleop.controls import Wish as Wish
from trajopt_sgp.hardware.teleop.joystick import Joystick as Joystick
from trajopt_sgp.hardware.teleop.keyboard import Keyboard as Keyboard
from trajopt_sgp.hardware.teleop.pilot import Pilot as Pilot
