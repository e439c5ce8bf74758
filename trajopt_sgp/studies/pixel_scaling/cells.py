"""The cells: what an iteration takes at each size, and plans of 64 by 64 pixels with networks trained for them."""

from trajopt_sgp.studies.pixel_scaling.timing import measure_iteration
from trajopt_sgp.studies.pixel_scaling.wide import plan_wide, train_wide
from trajopt_sgp.studies.runner import StudyCell

RESOLUTIONS = (16, 32, 64)
HORIZON = 15
HORIZONS = (5, 10, 15, 30, 60)
"""At 32 by 32 pixels."""
CHANNELS = {"narrow": (8, 16, 32, 64), "standard": (16, 32, 64)}
"""Of the networks; the narrow ones are those that are trained at 64 by 64 pixels, the others ship for 32 by 32."""
PAIRS = 8
WIDE = 64

_TRANSITIONS = 40_000


def all_cells(reduced: bool) -> list[StudyCell]:
    """Return timings, which need no trained networks, then training, then plans."""
    timings = [_timing(name, side, HORIZON, reduced) for name in CHANNELS for side in RESOLUTIONS]
    timings += [_timing("standard", 32, horizon, reduced) for horizon in HORIZONS if horizon != HORIZON]
    training = StudyCell(
        "train 64",
        train_wide,
        {
            "resolution": 16 if reduced else WIDE,
            "channels": [4, 8] if reduced else list(CHANNELS["narrow"]),
            "transitions": 200 if reduced else _TRANSITIONS,
            "steps": [2, 2, 2] if reduced else [5000, 4000, 4000],
            "seed": 0,
        },
    )
    plans = [
        StudyCell(
            f"plan 64 {pair}",
            plan_wide,
            {"pair": pair, "seed": 1, **({"iterations": 1} if reduced else {})},
            {"models": training},
        )
        for pair in range(1 if reduced else PAIRS)
    ]
    return [*(timings[:1] if reduced else timings), training, *plans]


def _timing(channels: str, resolution: int, horizon: int, reduced: bool) -> StudyCell:
    settings = {
        "channels": list(CHANNELS[channels]),
        "resolution": resolution,
        "horizon": horizon,
        "repetitions": 1 if reduced else 5,
    }
    return StudyCell(f"time {channels} {resolution} N={horizon}", measure_iteration, settings)
