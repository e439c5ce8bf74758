"""Claims on cells, so that several runs may share a folder and none computes what another is computing."""

from dataclasses import dataclass
from pathlib import Path
from typing import IO

try:
    import fcntl
except ImportError:  # no such locks: whoever asks gets the claim
    fcntl = None  # type: ignore[assignment]


@dataclass(frozen=True)
class Claim:
    """A claim that this process holds until it is given up, or until the process ends, however it does."""

    file: IO[bytes]
    """Locked; its name means nothing once it is closed."""

    def give_up(self) -> None:
        """Let others have it."""
        self.file.close()


def claim(path: Path) -> Claim | None:
    """Return the claim of this name, or None where another process holds it.

    Args:
        path: of its file, which is made; its folder is made if missing. The file stays.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    file = path.open("ab")
    try:
        if fcntl is not None:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        return None
    return Claim(file)
