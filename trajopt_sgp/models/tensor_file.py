"""Named tensors with a JSON header in one safetensors file, written atomically and protected by a checksum.

The header is one JSON document in the file's metadata. Its first entry is the SHA-256 of the whole file, computed with
zeros in place of the digits. The same header and tensors give the same bytes.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from trajopt_sgp.errors import ModelFileError
from trajopt_sgp.files import plain_number, write_atomically

_KEY = "trajopt_sgp"
_BLANK = "sha256:" + "0" * 64
_CHECKSUM = re.compile(rb"sha256:[0-9a-f]{64}")
_LENGTH_BYTES = 8


def write_tensors(path: Path, header: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """Write a file whole or not at all.

    Args:
        path: the file; its folder exists. An existing file is replaced.
        header: a JSON document without the entry "checksum".
        tensors: tensors by name, of any shape and type, on any device.

    Raises:
        ModelFileError: the file cannot be written.
    """
    document = json.dumps({"checksum": _BLANK, **header}, allow_nan=False, default=plain_number)
    content = save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, {_KEY: document})
    checksum = f"sha256:{hashlib.sha256(content).hexdigest()}"
    try:
        write_atomically(path, content.replace(_BLANK.encode(), checksum.encode(), 1))
    except OSError as error:
        raise ModelFileError(f"{path} cannot be written: {error.strerror}.") from error


def read_tensors(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Read and verify a file of `write_tensors`; return its header and its tensors, on the CPU.

    Raises:
        ModelFileError: the file is missing, truncated, damaged, or of another kind.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelFileError(f"{path} cannot be read: {error.strerror}.") from error
    if content[_LENGTH_BYTES : _LENGTH_BYTES + 1] not in (b"{", b""):
        raise ModelFileError(f"{path} is no file of this library: models and the like are safetensors files.")
    _check_length(path, content)
    found = _CHECKSUM.search(content)
    if found is None:
        raise ModelFileError(f"{path} is damaged, or no file of this library: it holds no checksum.")
    blank = content[: found.start()] + _BLANK.encode() + content[found.end() :]
    if hashlib.sha256(blank).hexdigest().encode() != found[0].removeprefix(b"sha256:"):
        raise ModelFileError(f"{path} is damaged: its contents do not match its checksum.")
    try:
        return json.loads(_parse_header(content)["__metadata__"][_KEY]), load(content)
    except (KeyError, ValueError, SafetensorError) as error:
        raise ModelFileError(f"{path} is no file of this library: {error!r}.") from error


def _check_length(path: Path, content: bytes) -> None:
    length = int.from_bytes(content[:_LENGTH_BYTES], "little")
    if len(content) < _LENGTH_BYTES + length:
        raise ModelFileError(f"{path} is truncated or damaged: its header does not end within {len(content)} bytes.")
    try:
        entries = _parse_header(content).items()
        ends = [entry["data_offsets"][1] for name, entry in entries if name != "__metadata__"]
        expected = _LENGTH_BYTES + length + max(ends, default=0)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise ModelFileError(f"{path} is damaged, or no safetensors file: its header cannot be read.") from error
    if len(content) < expected:
        raise ModelFileError(f"{path} is truncated: it has {len(content)} of {expected} bytes.")


def _parse_header(content: bytes) -> dict[str, Any]:
    length = int.from_bytes(content[:_LENGTH_BYTES], "little")
    header: dict[str, Any] = json.loads(content[_LENGTH_BYTES : _LENGTH_BYTES + length])
    return header
