"""The messages of the iiwa driver and of the OptiTrack client: own definitions, generated codecs, a strict decoder."""

from trajopt_sgp.hardware.messages.decoder import COMMAND as COMMAND
from trajopt_sgp.hardware.messages.decoder import COMMAND_DECODER as COMMAND_DECODER
from trajopt_sgp.hardware.messages.decoder import EVENT as EVENT
from trajopt_sgp.hardware.messages.decoder import EVENT_DECODER as EVENT_DECODER
from trajopt_sgp.hardware.messages.decoder import FRAME as FRAME
from trajopt_sgp.hardware.messages.decoder import FRAME_2022 as FRAME_2022
from trajopt_sgp.hardware.messages.decoder import FRAME_DECODER as FRAME_DECODER
from trajopt_sgp.hardware.messages.decoder import IIWA_JOINTS as IIWA_JOINTS
from trajopt_sgp.hardware.messages.decoder import PLAN as PLAN
from trajopt_sgp.hardware.messages.decoder import PLAN_DECODER as PLAN_DECODER
from trajopt_sgp.hardware.messages.decoder import SAFETY as SAFETY
from trajopt_sgp.hardware.messages.decoder import SAFETY_DECODER as SAFETY_DECODER
from trajopt_sgp.hardware.messages.decoder import STATUS as STATUS
from trajopt_sgp.hardware.messages.decoder import STATUS_DECODER as STATUS_DECODER
from trajopt_sgp.hardware.messages.decoder import TIMING as TIMING
from trajopt_sgp.hardware.messages.decoder import TIMING_DECODER as TIMING_DECODER
from trajopt_sgp.hardware.messages.decoder import Decoder as Decoder
from trajopt_sgp.hardware.messages.decoder import codec as codec
from trajopt_sgp.hardware.messages.definition import Definition as Definition
from trajopt_sgp.hardware.messages.definition import read_definitions as read_definitions
