"""What a process asks of the operating system to keep its times."""

import gc
import os
import warnings


def prefer(priority: int) -> None:
    """Ask for the real-time scheduler, and warn where that is refused; keep the garbage collector off what is there."""
    gc.collect()
    gc.freeze()
    if priority:
        try:
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(priority))
        except PermissionError:
            warnings.warn("SCHED_FIFO was refused; CAP_SYS_NICE is needed. Commands may be late.", stacklevel=2)
