"""One file for a learned model: safetensors for the numbers, JSON in its header for the rest, a hash over both; nothing unpickles."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from sensors.errors import ConfigError, DriveFusionError

_HEADER = "drive_fusion"


class ModelFileError(DriveFusionError):
    """A model file that is missing, damaged, of another kind, or cannot be written."""


def save_model(path: str | Path, kind: str, tensors: Mapping[str, Tensor], settings: Mapping[str, Any]) -> str:
    """Write a model so that a crash leaves the old file or the new one, never half of one.

    Args:
        path: Where to.
        kind: What it is, e.g. ``"reward model 1"``; loading asks for the same.
        tensors: The numbers.
        settings: The rest, as JSON can hold it.

    Returns:
        The content's hash, hexadecimal.

    Raises:
        ModelFileError: The folder cannot be written or the disk is full.
    """
    from safetensors.torch import save

    target = Path(path)
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    body = {"kind": kind, "settings": dict(settings)}
    digest = _content_hash(plain, body)
    blob = save(plain, {_HEADER: json.dumps(body | {"sha256": digest}, sort_keys=True)})
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(blob)
                file.flush()
                os.fsync(file.fileno())
            os.replace(name, target)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise ModelFileError(f"{kind} could not be written to {target}: {error}; what was there before is unchanged") from error
    return digest


def load_model(path: str | Path, kind: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read a model back.

    Args:
        path: Where from.
        kind: What it must be.

    Returns:
        Tensors and settings, as given to ``save_model``.

    Raises:
        ModelFileError: It is missing, damaged, or something else.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    source = Path(path)
    try:
        blob = source.read_bytes()
    except OSError as error:
        raise ModelFileError(f"{kind} at {source} cannot be read: {error}") from error
    try:
        tensors = load(blob)
        length = int.from_bytes(blob[:8], "little")
        body = json.loads(json.loads(blob[8 : 8 + length])["__metadata__"][_HEADER])
        stored, digest = body.pop("sha256"), _content_hash(tensors, body)
        found, settings = str(body["kind"]), dict(body["settings"])
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError, RecursionError, ConfigError) as error:
        raise ModelFileError(f"{source} is truncated or no {kind}: {error!r}; use a file that this program saved") from error
    if stored != digest:
        raise ModelFileError(f"{source} is damaged: content hash {digest[:12]}, expected {stored[:12]}; restore it from a copy")
    if found != kind:
        raise ModelFileError(f"{source} is a {found!r}, expected a {kind!r}")
    return tensors, settings


def _content_hash(tensors: Mapping[str, Tensor], body: Mapping[str, Any]) -> str:
    """SHA-256 over names, shapes, types, numbers and settings."""
    digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()
