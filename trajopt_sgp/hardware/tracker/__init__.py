"""The tracker: follows plans behind the safety filter. Its decisions are a pure function; no torch is imported here."""

from trajopt_sgp.hardware.tracker.core import Tick as Tick
from trajopt_sgp.hardware.tracker.core import advance as advance
from trajopt_sgp.hardware.tracker.state import TrackerState as TrackerState
