"""LCM on this machine, apart from everything else that runs on it."""

import os

import pytest

from trajopt_sgp.errors import HardwareError
from trajopt_sgp.hardware.bus import Bus
from trajopt_sgp.hardware.settings import HardwareSettings


def local_settings() -> HardwareSettings:
    """A group of addresses of its own, and ages for a machine that is busy; a test is skipped where LCM cannot run."""
    pytest.importorskip("lcm")
    port = 20_000 + os.getpid() % 20_000
    settings = HardwareSettings(
        url=f"udpm://239.255.76.67:{port}?ttl=0", state_age=0.3, keypoint_age=0.4, plan_age=3.0, heartbeat_age=2.0
    )
    try:
        Bus(settings.url).close()
    except HardwareError as error:
        pytest.skip(str(error))
    return settings
