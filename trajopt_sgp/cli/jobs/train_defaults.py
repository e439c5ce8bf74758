"""What `train` does unless told otherwise, in words: read off the presets, for the help text."""

from collections.abc import Iterable, Mapping

from trajopt_sgp.learning import TRAINERS, TRAINING_PRESETS, TrainingSettings

_COMMON = (
    "steps",
    "rollout_steps",
    "rollout_decay",
    "hidden_sizes",
    "batch_size",
    "learning_rate",
    "validate_every",
    "patience",
)
"""Options of all models, named as the settings."""


def default_notes() -> dict[str, str]:
    """Return the end of a help text by the name of the argument, for example "[default: 0]"."""
    notes = {name: _note(name, [preset.settings for preset in TRAINING_PRESETS.values()]) for name in _COMMON}
    for kind, (settings, _) in TRAINERS.items():
        own = [{kind: preset.settings.get(kind) or settings()} for preset in TRAINING_PRESETS.values()]
        notes[own_steps(kind)] = _note("steps", own)
    return notes


def own_steps(kind: str) -> str:
    """Return the argument with the steps of one model."""
    return f"steps_{kind.replace('-', '_')}"


def _note(name: str, presets: Iterable[Mapping[str, TrainingSettings]]) -> str:
    """Return the default of each preset, those after the first with its name, unless it says the same."""
    first, *others = (_values(name, settings) for settings in presets)
    named = [f"; {preset}: {text}" for preset, text in zip(list(TRAINING_PRESETS)[1:], others, strict=True)]
    return f"  [default: {first}{''.join(text for text, plain in zip(named, others, strict=True) if plain != first)}]"


def _values(name: str, settings: Mapping[str, TrainingSettings]) -> str:
    """Return the value of a setting, or where models differ each with their names."""
    kinds: dict[str, list[str]] = {}
    for kind, entry in settings.items():
        if hasattr(entry, name):
            value = getattr(entry, name)
            kinds.setdefault(",".join(map(str, value)) if isinstance(value, tuple) else f"{value:g}", []).append(kind)
    if len(kinds) == 1:
        return next(iter(kinds))
    return ", ".join(f"{value} ({', '.join(names)})" for value, names in kinds.items())
