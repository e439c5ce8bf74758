"""A file system of a few kilobytes that can really be filled, where mounting is permitted."""

import subprocess
from pathlib import Path
from types import TracebackType

SIZE = 4 * 1024 * 1024
"""Of the file system [bytes]; enough for a tracker's log before the fault."""


class SmallDisk:
    """A file system in memory at a folder; entering mounts it, leaving takes it away.

    Args:
        folder: Where it is mounted; made if it is missing.

    Attributes:
        mounted: Whether it could be; mounting needs Linux and CAP_SYS_ADMIN.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.mounted = False

    def fill(self) -> None:
        """Leave no byte free."""
        with (self.folder / "filling").open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError:
                pass  # full, as it shall be

    def __enter__(self) -> "SmallDisk":
        self.folder.mkdir(parents=True, exist_ok=True)
        command = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(self.folder)]
        try:
            self.mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
        except FileNotFoundError:
            self.mounted = False
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.mounted:
            subprocess.run(["umount", str(self.folder)], capture_output=True, check=False)
