"""The bus: packets over LCM, the newest of each channel, and event logs."""

from trajopt_sgp.hardware.bus.bus import FLOODED as FLOODED
from trajopt_sgp.hardware.bus.bus import UNSENT as UNSENT
from trajopt_sgp.hardware.bus.bus import Bus as Bus
from trajopt_sgp.hardware.bus.bus import Packet as Packet
from trajopt_sgp.hardware.bus.bus import PacketBus as PacketBus
from trajopt_sgp.hardware.bus.event_log import LogWriter as LogWriter
from trajopt_sgp.hardware.bus.event_log import make_way as make_way
from trajopt_sgp.hardware.bus.event_log import read_log as read_log
from trajopt_sgp.hardware.bus.mailbox import Letter as Letter
from trajopt_sgp.hardware.bus.mailbox import Mailbox as Mailbox
