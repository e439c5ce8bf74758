"""The list of cells: plans of every planner on every pair, and the searches and models that they need."""

from trajopt_sgp.studies.pixels.measure import DATA_SEED, measure, train_ensemble
from trajopt_sgp.studies.pixels.planners import PLANNERS
from trajopt_sgp.studies.pixels.tuning import SPACES, tune
from trajopt_sgp.studies.runner import StudyCell

PAIRS = 16
SEED = 1
"""Of the pairs that are judged."""
TUNING_SEED = 0
"""Of the pairs on which settings are searched."""
STARTS = {
    "straight": tuple(name for name in PLANNERS if name != "best guess"),
    "bent": ("guided", "best guess"),
}
"""Which planners set out from the straight line, and which from the best of 16 bent paths."""
SECONDS = 20.0
"""Of one core, for a plan from samples; a guided plan takes 12 s where nothing else runs."""

_FIRST = (
    ("straight", "guided"),
    ("straight", "score transcription"),
    ("straight", "unguided"),
    ("bent", "best guess"),
    ("bent", "guided"),
)
_TRIALS, _TUNING_SECONDS = 12, 7.0


def all_cells(reduced: bool) -> list[StudyCell]:
    """Return the cells in the order in which they are wanted: the guided planner and its companions come first."""
    ensemble = _ensemble_cell(reduced)
    tuning = {name: _tuning_cell(name, ensemble, reduced) for name in SPACES}
    pairs = range(1 if reduced else PAIRS)
    first = [(*kind, pair) for kind in _FIRST for pair in pairs]
    names = [name for name in STARTS["straight"] if ("straight", name) not in _FIRST]
    names = [name for name in names if not (reduced and name == "exact distance")]
    samples, others = ([name for name in names if _samples_scores(name) == wanted] for wanted in (True, False))
    plans = [[("straight", name, pair) for pair in pairs for name in part] for part in (samples, others)]
    cells = [[_plan_cell(*plan, tuning, ensemble, reduced) for plan in part] for part in (first, *plans)]
    searches = [[tuning[name] for name in part if name in tuning] for part in (samples, others)]
    return [*cells[0], *searches[0], *cells[1], ensemble, *searches[1], *cells[2]]


def _samples_scores(planner: str) -> bool:
    return PLANNERS[planner].search in ("cem", "mppi") and PLANNERS[planner].uncertainty == "score"


def _plan_cell(
    start: str, planner: str, pair: int, tuning: dict[str, StudyCell], ensemble: StudyCell, reduced: bool
) -> StudyCell:
    settings = {**_common(planner, start, reduced), "pair": pair, "pairs": PAIRS, "seed": SEED}
    needs = {"tuned": tuning[planner]} if planner in tuning else {}
    return StudyCell(f"{start} {planner} {pair}", measure, settings, {**needs, **_models(planner, ensemble)})


def _tuning_cell(planner: str, ensemble: StudyCell, reduced: bool) -> StudyCell:
    trials = {"trials": 2 if reduced else _TRIALS, "pair": 0, "pairs": PAIRS, "seed": TUNING_SEED}
    common = _common(planner, "straight", reduced)
    shorter = {"seconds": 0.1 if reduced else _TUNING_SECONDS} if "seconds" in common else {}
    return StudyCell(f"tune {planner}", tune, {**common, **shorter, **trials}, _models(planner, ensemble))


def _ensemble_cell(reduced: bool) -> StudyCell:
    size = {"steps": 2, "transitions": 100} if reduced else {"steps": 1000, "transitions": 60_000}
    return StudyCell("ensemble", train_ensemble, {**size, "data_seed": DATA_SEED})


def _common(planner: str, start: str, reduced: bool) -> dict[str, object]:
    seconds = {"seconds": 0.1 if reduced else SECONDS} if PLANNERS[planner].search in ("cem", "mppi") else {}
    return {"planner": planner, "start": start, **seconds, **({"iterations": 1, "guesses": 1} if reduced else {})}


def _models(planner: str, ensemble: StudyCell) -> dict[str, StudyCell]:
    return {"ensemble": ensemble} if PLANNERS[planner].uncertainty == "ensemble" else {}
