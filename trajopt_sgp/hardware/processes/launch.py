"""The three processes started, watched and ended together."""

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

from trajopt_sgp.errors import HardwareError
from trajopt_sgp.hardware.bus import make_way
from trajopt_sgp.hardware.processes.lifeline import UNTIL_INPUT_ENDS
from trajopt_sgp.hardware.settings import HardwareSettings, write_settings
from trajopt_sgp.hardware.signals import deferred, interrupted_once

ROLES = ("simulator", "tracker", "planner")
LOG = "tracker.lcmlog"
"""Name of the tracker's log."""
_PATIENCE = 5.0


class Processes:
    """Processes of a run; on leaving, the tracker ends first, so that the arm is held while the others still run.

    While it is entered, SIGTERM and SIGHUP raise KeyboardInterrupt, as Ctrl-C does, so that it is left and no process
    stays; on leaving, signals wait. Processes whose parent is gone, as after SIGKILL, end by themselves.

    Args:
        settings: Of the run; written to the folder for all of them to read.
        folder: For settings and log.
        roles: Which ones are started.
        overrides: Settings of single processes that differ, by role.
        log_folder: For the log, if it is another one.
    """

    def __init__(
        self,
        settings: HardwareSettings,
        folder: Path,
        roles: Sequence[str] = ROLES,
        overrides: Mapping[str, HardwareSettings] | None = None,
        log_folder: Path | None = None,
    ) -> None:
        self.folder, self.roles = folder, roles
        self.log = (log_folder or folder) / LOG
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._stack = ExitStack()
        for role in ROLES:
            write_settings((overrides or {}).get(role, settings), self._settings_file(role))

    def start(self, role: str) -> None:
        """Start a process, or start it again; a log that is there already is kept under a name with a number."""
        command = [sys.executable, "-m", "trajopt_sgp.hardware.processes", role, str(self._settings_file(role))]
        logs = [str(self.log)] if role == "tracker" else []
        if logs:
            make_way(self.log)
        with (self.folder / f"{role}.txt").open("ab") as text:
            # a group of its own: Ctrl-C at the terminal reaches the processes through us, in the right order
            self._running[role] = subprocess.Popen(
                [*command, *logs, UNTIL_INPUT_ENDS], stdin=subprocess.PIPE, stderr=text, start_new_session=True
            )

    def send(self, role: str, number: signal.Signals) -> None:
        """Send a signal to a process."""
        os.kill(self._running[role].pid, number)

    def stop_log(self) -> None:
        """Let no file of the tracker grow any more, as on a full disk."""
        resource.prlimit(self._running["tracker"].pid, resource.RLIMIT_FSIZE, (1, 1))

    def wait(self, seconds: float) -> None:
        """Wait, and look after the processes meanwhile.

        Raises:
            HardwareError: one of them has ended; its last words are in the text.
        """
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for role, process in self._running.items():
                if process.poll() is not None:
                    words = (self.folder / f"{role}.txt").read_text().strip().splitlines()
                    raise HardwareError(f"The {role} has ended: {words[-1] if words else 'without a word'}")
            time.sleep(min(0.05, max(end - time.monotonic(), 0.0)))

    def stop(self, role: str) -> None:
        """End a process by SIGINT, and by SIGKILL when it does not obey."""
        process = self._running.pop(role, None)
        if process is None:
            return
        if process.poll() is None:
            process.send_signal(signal.SIGCONT)
            process.send_signal(signal.SIGINT)
        try:
            process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdin:
            process.stdin.close()

    def __enter__(self) -> "Processes":
        with ExitStack() as stack:
            stack.enter_context(interrupted_once())
            stack.callback(self._end)
            for role in self.roles:
                self.start(role)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def _end(self) -> None:
        with deferred():
            for role in ("tracker", "planner", "simulator"):
                self.stop(role)

    def _settings_file(self, role: str) -> Path:
        return self.folder / f"{role}.json"
