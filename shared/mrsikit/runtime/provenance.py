"""Provenance records: the software, weights, parameters and inputs that made a result."""

from __future__ import annotations

import hashlib
import json
import logging
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import mrsikit

logger = logging.getLogger(__name__)


def sha256(path: str | Path) -> str:
    """Return the SHA-256 of a file or folder as 64 hexadecimal digits.

    The hash of a folder is that of the hashes of all files in it, joined in the order of their names.
    """
    if Path(path).is_dir():
        files = sorted(file for file in Path(path).rglob("*") if file.is_file())
        return hashlib.sha256("".join(sha256(file) for file in files).encode()).hexdigest()
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def jsonable(value: Any) -> Any:
    """Convert a value to types that strict JSON can hold.

    Args:
        value: nested mappings, sequences, numbers (also numpy and torch scalars), strings, paths, None.

    Returns:
        The same value in plain types; NaN and infinity become None.
    """
    if isinstance(value, Mapping):
        return {str(key): jsonable(item) for key, item in value.items()}
    if hasattr(value, "tolist"):  # numpy and torch, scalars and arrays
        value = value.tolist()
    if isinstance(value, list | tuple | set):
        return [jsonable(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, bool | int | str) else str(value)


def provenance(
    bundle_name: str,
    bundle_version: str,
    weights_path: str | Path | Sequence[str | Path] | None,
    parameters: Mapping[str, Any],
    flags: Sequence[str],
    inputs: Mapping[str, str | Path],
) -> dict[str, Any]:
    """Describe how one result was made.

    Args:
        bundle_name: name of the bundle.
        bundle_version: version of the bundle.
        weights_path: the weights file or files that were used, None for none.
        parameters: every parameter that changes the result.
        flags: warnings about this input, such as a matrix outside the trained range.
        inputs: the input file and its companions, by key.

    Returns:
        A JSON-serialisable record, keys in a fixed order: mrsikit, bundle, weights, inputs, parameters, flags, time.

    Raises:
        OSError: a file cannot be read.
    """
    weights = [weights_path] if isinstance(weights_path, str | Path) else list(weights_path or [])
    return {
        "mrsikit": mrsikit.__version__,
        "bundle": {"name": bundle_name, "version": str(bundle_version)},
        "weights": {Path(path).name: sha256(path) for path in weights},
        "inputs": {key: {"file": Path(path).name, "sha256": sha256(path)} for key, path in inputs.items()},
        "parameters": jsonable(parameters),
        "flags": [str(flag) for flag in flags],
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def shipped_weights(weights_path: str | Path, metadata: Mapping[str, Any] | str | Path) -> bool:
    """Tell whether a weights file is the one that came with the bundle; log a warning if it is not.

    Args:
        weights_path: file of weights.
        metadata: metadata.json of the bundle or its content, with ``weights_sha256``: {file name: SHA-256}.

    Returns:
        True if the hash equals the one in metadata.json.

    Raises:
        OSError: a file cannot be read.
        TypeError: the metadata holds no JSON object.
    """
    if isinstance(metadata, str | Path):
        metadata = json.loads(Path(metadata).read_text(encoding="utf-8"))
    if not isinstance(metadata, Mapping):
        raise TypeError(f"metadata must hold an object, not {type(metadata).__name__}")
    shipped = metadata.get("weights_sha256", {}).get(Path(weights_path).name) == sha256(weights_path)
    if not shipped:
        logger.warning("%s: not the shipped weights", weights_path)
    return shipped


def read_record(path: Path) -> dict[str, Any]:
    """Return the content of a provenance file; empty if it is absent or if mrsikit did not write it."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) and "mrsikit" in content else {}
