"""Values for strict JSON."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def plain_values(value: Any) -> Any:
    """Return a value for strict JSON: paths become text, arrays lists, and what is not finite null."""
    if isinstance(value, Mapping):
        return {str(key): plain_values(entry) for key, entry in value.items()}
    if hasattr(value, "tolist"):
        return plain_values(value.tolist())
    if isinstance(value, list | tuple | set | frozenset):
        return [plain_values(entry) for entry in (sorted(value) if isinstance(value, set | frozenset) else value)]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value
