"""Results on disk."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trajopt_sgp.models.tensor_file import write_atomically


def write_json(path: Path, document: Mapping[str, Any]) -> None:
    """Write a document with sorted indentation, whole or not at all."""
    write_atomically(path, (json.dumps(document, indent=2) + "\n").encode())
