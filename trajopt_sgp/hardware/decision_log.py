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
        self._error: OSError | None = None
        self._tick = 0

    def write(self, decision: SafetyDecision) -> None:
        """Append a decision, and the command that it sends; an error ends the log and waits for `check`."""
        if self._writer is None:
            return
        try:
            self._append(self._writer, now(), decision)
        except OSError as error:
            self._error = error
            with suppress(OSError):
                self._writer.close()
            self._writer = None

    def check(self) -> None:
        """Say once that the log was lost, where the arm is in no danger by that.

        Raises:
            OSError: the disk is full, or the like.
        """
        error, self._error = self._error, None
        if error:
            raise error

    def close(self) -> None:
        """Close the file.

        Raises:
            OSError: as `check` does.
        """
        writer, self._writer = self._writer, None
        if writer:
            writer.close()
        self.check()

    def _append(self, writer: LogWriter, time: int, decision: SafetyDecision) -> None:
        safety = make_safety(time, self._tick, decision, decision.interventions)
        writer.write(Packet(time, SAFETY_CHANNEL, safety))
        if decision.joints is not None:
            writer.write(Packet(time, COMMANDED, make_command(time, decision.joints)))
        self._tick += 1
