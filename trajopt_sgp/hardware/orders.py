"""What a person wants of a tracker that runs: that it stops, or goes on; over the bus, as an event."""

import time
from dataclasses import dataclass

from trajopt_sgp.errors import HardwareError
from trajopt_sgp.hardware.bus import Bus, Mailbox
from trajopt_sgp.hardware.bus.events import make_event
from trajopt_sgp.hardware.messages import SAFETY_DECODER
from trajopt_sgp.hardware.safety import Mode
from trajopt_sgp.hardware.settings import HardwareSettings
from trajopt_sgp.hardware.tracker.receive import OPERATOR, ORDERS

PATIENCE = 3.0
"""How long an answer may take [s]."""
_AGAIN = 0.1
_SETTLING = 0.2


@dataclass(frozen=True)
class Answer:
    """What the tracker does some time after it was told.

    Attributes:
        mode: Of its safety filter.
        interventions: Why it does not follow its plan, if it does not.
    """

    mode: Mode
    interventions: tuple[str, ...]


def tell_tracker(settings: HardwareSettings, order: str, patience: float = PATIENCE) -> Answer:
    """Tell the tracker on the bus to `stop` or to `reset`, until it says that it has heard; return what it does then.

    A stop brakes and holds until a reset. A packet may be lost, so that it is sent again until it is answered.

    Args:
        settings: Address and channels.
        order: One of `ORDERS`.
        patience: How long the answer may take [s].

    Raises:
        HardwareError: no tracker has answered; LCM is missing or has no network.
    """
    decoders = {settings.safety_channel: SAFETY_DECODER}
    with Bus(settings.url, decoders) as bus:
        mailbox = Mailbox(decoders)
        told, end = 0.0, time.monotonic() + patience
        while time.monotonic() < end:
            if time.monotonic() - told > _AGAIN:
                bus.publish(settings.event_channel, make_event(OPERATOR, order, ""))
                told = time.monotonic()
            if any(ORDERS[order] in answer.interventions for answer in _answers(bus, mailbox)):
                return _settled(bus, mailbox, end)
    raise HardwareError(
        f"No tracker has answered on {settings.safety_channel} of {settings.url} within {patience:.0f} s; "
        "nobody knows whether one has heard."
    )


def _settled(bus: Bus, mailbox: Mailbox, end: float) -> Answer:
    """Return what is decided when the arm has had the time to brake."""
    answer, earliest = Answer(Mode.STOPPING, ()), time.monotonic() + _SETTLING
    while time.monotonic() < end and (answer.mode is Mode.STOPPING or time.monotonic() < earliest):
        answer = [answer, *_answers(bus, mailbox)][-1]
    return answer


def _answers(bus: Bus, mailbox: Mailbox) -> list[Answer]:
    decisions = [letter.message for letter in mailbox.put(bus.receive(_AGAIN))]
    return [Answer(Mode[said.mode], tuple(filter(None, said.interventions.split("; ")))) for said in decisions]
