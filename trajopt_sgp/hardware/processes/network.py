"""A network of this process and its children alone, where that is permitted, so that no packet can leave it."""

import ctypes
import socket
import subprocess

from trajopt_sgp.errors import HardwareError

_NEW_NETWORK = 0x40000000
_SET_UP = (
    ("link", "set", "lo", "up"),
    ("link", "set", "lo", "multicast", "on"),
    ("route", "add", "224.0.0.0/4", "dev", "lo"),
)


def enter_private_network() -> bool:
    """Move this process, and all that it starts from now on, to a network of a loopback alone; return if it could.

    It needs Linux, CAP_SYS_ADMIN and the program `ip`; nothing changes where the first two are missing. There is no
    way back.

    Raises:
        HardwareError: the network was made and cannot be set up.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "unshare") or libc.unshare(_NEW_NETWORK) != 0:
        return False
    try:
        for words in _SET_UP:
            subprocess.run(["ip", *words], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise HardwareError(f"The private network cannot be set up: {error}.") from error
    return True


def in_private_network() -> bool:
    """Return whether this process has no network but a loopback."""
    return [name for _, name in socket.if_nameindex()] == ["lo"]
