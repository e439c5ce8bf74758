"""Decisions of the safety filter in an event log."""

from contextlib import suppress
from pathlib import Path

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.hardware.bus import LogWriter, Packet
from trajopt_sgp.hardware.bus.bus import now
from trajopt_sgp.hardware.messages import COMMAND, SAFETY, codec
from trajopt_sgp.hardware.safety import SafetyDecision

SAFETY_CHANNEL, COMMANDED = "SAFETY", "TRACKER_COMMAND"
"""Channels of what was decided, and of the command that came of it, whether it was sent or not."""
OWN_COMMANDS = 400
"""How many of our own commands are remembered, by which those of others are told."""


def make_command(time: int, joints: FloatArray) -> bytes:
    """Return the packet of a command `(7,)` [rad]."""
    message = codec(COMMAND)()
    # without torques, as the driver wants it where only positions are commanded
    message.utime, message.num_joints, message.joint_position = time, len(joints), joints.tolist()
    return bytes(message.encode())


def make_safety(time: int, tick: int, decision: SafetyDecision, interventions: tuple[str, ...]) -> bytes:
    """Return the packet that says what was decided and why."""
    message = codec(SAFETY)()
    message.utime, message.tick, message.mode = time, tick, decision.state.mode.name
    message.interventions = "; ".join(interventions)
    return bytes(message.encode())


class DecisionLog:
    """Writes decisions to a file, if there is to be one.

    Args:
        path: Of the event log; None for none.
    """

    def __init__(self, path: Path | None) -> None:
        self._writer = LogWriter(path) if path else None
        self._tick = 0

    def write(self, decision: SafetyDecision) -> None:
        """Append a decision, and the command that it sends.

        Raises:
            OSError: the disk is full; nothing more is written then, so that the arm can still be stopped.
        """
        if self._writer is None:
            return
        try:
            self._append(self._writer, now(), decision)
        except OSError:
            with suppress(OSError):
                self._writer.close()
            self._writer = None
            raise

    def close(self) -> None:
        """Close the file."""
        if self._writer:
            self._writer.close()

    def _append(self, writer: LogWriter, time: int, decision: SafetyDecision) -> None:
        safety = make_safety(time, self._tick, decision, decision.interventions)
        writer.write(Packet(time, SAFETY_CHANNEL, safety))
        if decision.joints is not None:
            writer.write(Packet(time, COMMANDED, make_command(time, decision.joints)))
        self._tick += 1
