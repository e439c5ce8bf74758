"""How well a run kept its times, from the log of its tracker."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trajopt_sgp.arrays import FloatArray
from trajopt_sgp.errors import HardwareError, OptionError
from trajopt_sgp.hardware.bus import read_log
from trajopt_sgp.hardware.decision_log import COMMANDED
from trajopt_sgp.hardware.messages import EVENT_DECODER, PLAN_DECODER, SAFETY_DECODER, STATUS_DECODER, TIMING_DECODER
from trajopt_sgp.hardware.processes.heartbeat import ALIVE
from trajopt_sgp.hardware.replay import end_channel, log_settings
from trajopt_sgp.hardware.settings import HardwareSettings


@dataclass(frozen=True, eq=False)
class RunReport:
    """Figures of one run.

    Attributes:
        statuses: Those that the driver sent between first and last command, told by its clock.
        commands: That were sent.
        answered: Commands per status.
        latencies: From the reception of a status to the sent command, between first and last command `(n,)` [s].
        plan_periods: Times between plans in that time `(m,)` [s].
        interventions: How many ticks had each, from the first command on; every run ends with a stop.
        events: What the processes told: process, event, detail.
    """

    statuses: int
    commands: int
    answered: float
    latencies: FloatArray
    plan_periods: FloatArray
    interventions: dict[str, int]
    events: list[tuple[str, str, str]]

    def quantiles(self) -> dict[str, float | None]:
        """Return the figures that a run is judged by; None where nothing was seen."""
        return {
            "latency_p50_ms": _quantile(self.latencies, 0.5),
            "latency_p99_ms": _quantile(self.latencies, 0.99),
            "plan_period_p50_ms": _quantile(self.plan_periods, 0.5),
            "plan_period_p99_ms": _quantile(self.plan_periods, 0.99),
        }


def pool_reports(reports: Sequence[RunReport]) -> RunReport:
    """Return one report of several runs.

    Raises:
        OptionError: there are none.
    """
    if not reports:
        raise OptionError("No runs to report on.")
    statuses, commands = sum(r.statuses for r in reports), sum(r.commands for r in reports)
    return RunReport(
        statuses=statuses,
        commands=commands,
        answered=commands / statuses,
        latencies=np.concatenate([r.latencies for r in reports]),
        plan_periods=np.concatenate([r.plan_periods for r in reports]),
        interventions=dict(sum((Counter(r.interventions) for r in reports), Counter())),
        events=[event for r in reports for event in r.events],
    )


def report_run(path: Path) -> RunReport:
    """Read a log of a tracker.

    Raises:
        HardwareError: it is no such log, or nothing was commanded in it.
    """
    settings = log_settings(path)
    times = _Times()
    for packet in read_log(path):
        times.take(settings, packet.channel, packet.data, packet.time)
    if not times.commands:
        raise HardwareError(f"Nothing was commanded in {path}.")
    first, last = times.commands[0], times.commands[-1]
    statuses = round((last - first) * 1e-6 / settings.period) + 1
    latencies = np.array([sent - received for received, sent in times.answers if first <= sent <= last]) * 1e-6
    periods = np.diff(np.array([time for time in times.plans if first <= time <= last], dtype=np.float64)) * 1e-6
    answered = len(times.commands) / statuses
    return RunReport(
        statuses, len(times.commands), answered, latencies, periods, dict(times.interventions), times.events
    )


class _Times:
    """What is collected from a log, times in µs."""

    def __init__(self) -> None:
        self.commands: list[int] = []
        self.answers: list[tuple[int, int]] = []
        self.plans: list[int] = []
        self.interventions: Counter[str] = Counter()
        self.events: list[tuple[str, str, str]] = []
        self._answering = False

    def take(self, settings: HardwareSettings, channel: str, data: bytes, time: int) -> None:
        if channel == COMMANDED:
            self.commands.append(time)
        elif channel == settings.status_channel:
            self._answering = data[:8] == STATUS_DECODER.accepted[0].fingerprint
        elif channel == settings.timing_channel:
            timing = TIMING_DECODER.decode(data)
            if self._answering:
                self.answers.append((timing.received, timing.sent))
            self._answering = False
        elif channel == settings.plan_channel and data[:8] == PLAN_DECODER.accepted[0].fingerprint:
            self.plans.append(time)
        elif channel == settings.safety_channel and self.commands:
            self.interventions.update(filter(None, SAFETY_DECODER.decode(data).interventions.split("; ")))
        elif channel in (settings.event_channel, end_channel(settings)):
            event = EVENT_DECODER.decode(data)
            if event.event != ALIVE:
                self.events.append((event.process, event.event, event.detail))


def _quantile(values: FloatArray, fraction: float) -> float | None:
    return 1000 * float(np.quantile(values, fraction)) if len(values) else None
