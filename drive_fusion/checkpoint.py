"""Checkpoints that survive a kill and cannot run code: a folder of safetensors and JSON, committed by its manifest.

A save writes new files beside the old ones, each to a temporary name, flushed to disk and renamed; then the manifest, which names every
file with its size and SHA-256, is replaced in one step; then the old files go. Whatever moment a process dies at, the manifest names
files that are whole.
"""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import stat
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

from sensors.errors import DriveFusionError

FORMAT = "drive-fusion-checkpoint"
VERSION = 2
"""Of what a checkpoint's weights mean. 1: cameras' features were lifted with what is alike along a picture row."""
MANIFEST = "manifest.json"
MOST_MANIFEST_BYTES = 1 << 20
"""Ours have some hundred."""


Place = Path | zipfile.Path
"""A checkpoint's folder, or a packed one."""


class CheckpointError(DriveFusionError, ValueError):
    """A checkpoint that cannot be written, or read, or used for what is asked of it; a ValueError too, which SB3 raises there."""


def write_checkpoint(folder: Path, tensors: Mapping[str, Mapping[str, Tensor]], facts: Any) -> None:
    """Write a checkpoint, replacing an older one at the same place in one step.

    Args:
        folder: Where; made if absent.
        tensors: Groups of named tensors; each group becomes one safetensors file.
        facts: What JSON can hold.

    Raises:
        CheckpointError: The folder cannot be written, or the disk is full. An older checkpoint there stays whole.
    """
    contents = _contents(tensors, facts)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in contents.items():
            write_atomically(folder / name, data)
        _remove_others(folder, set(contents))
    except OSError as error:
        why = "the disk is full" if error.errno == errno.ENOSPC else str(error)
        raise CheckpointError(f"{folder}: cannot write the checkpoint, {why}; what was there before is untouched") from error


def pack_checkpoint(file: IO[bytes], tensors: Mapping[str, Mapping[str, Tensor]], facts: Any) -> None:
    """Write a checkpoint as one stream: a zip of the folder's files, none of them compressed.

    Args:
        file: An open binary file or buffer, written from where it stands.
        tensors: As for `write_checkpoint`.
        facts: What JSON can hold.
    """
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in _contents(tensors, facts).items():
            archive.writestr(zipfile.ZipInfo(name), data)


def unpacked(file: IO[bytes]) -> zipfile.Path:
    """The inside of a packed checkpoint, for `read_checkpoint`; nothing is written anywhere.

    Raises:
        CheckpointError: It is no zip, or one whose members are compressed, which ours never are.
    """
    try:
        archive = zipfile.ZipFile(file)
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise CheckpointError(f"the file is no packed checkpoint ({error}); expected one made by FusedPPO.save") from error
    if any(member.compress_type != zipfile.ZIP_STORED or member.file_size != member.compress_size for member in archive.infolist()):
        raise CheckpointError("the file holds compressed members, as Stable-Baselines3's do; expected one made by FusedPPO.save")
    archive.filename = archive.filename or "packed checkpoint"  # which errors name
    return zipfile.Path(archive)


def opened(place: Path) -> Place:
    """What a path leads to, for `read_checkpoint`: a folder, or the inside of a checkpoint that was packed into a file."""
    if not (place.is_file() and zipfile.is_zipfile(place)):
        return place
    try:
        with zipfile.ZipFile(place) as archive:
            ours = MANIFEST in archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise CheckpointError(f"{place} is a damaged zip ({error}); use an older checkpoint") from error
    return unpacked(io.BytesIO(place.read_bytes())) if ours else place


def _contents(tensors: Mapping[str, Mapping[str, Tensor]], facts: Any) -> dict[str, bytes]:
    """A checkpoint's files by name, the manifest last."""
    parts = {f"{name}.safetensors": safetensors.torch.save(dict(group)) for name, group in tensors.items()}
    parts["facts.json"] = json.dumps(facts, allow_nan=False, indent=1).encode()
    files: dict[str, dict[str, Any]] = {}
    for name, data in parts.items():
        digest = hashlib.sha256(data).hexdigest()
        stem, suffix = name.rsplit(".", 1)
        files[name] = {"file": f"{stem}-{digest[:12]}.{suffix}", "sha256": digest, "bytes": len(data)}
    manifest = {"format": FORMAT, "version": VERSION, "files": files}
    return {**{files[name]["file"]: data for name, data in parts.items()}, MANIFEST: json.dumps(manifest, indent=1).encode()}


def read_checkpoint(folder: Place) -> tuple[dict[str, dict[str, Tensor]], Any]:
    """Read a checkpoint and check every byte of it against its manifest.

    Args:
        folder: Where it lies, or what `unpacked` gives.

    Returns:
        The groups of tensors, and the facts.

    Raises:
        CheckpointError: It is not there, not ours, of another version, truncated or changed.
    """
    manifest = _read_manifest(folder)
    tensors, facts = {}, None
    for name, entry in manifest["files"].items():
        data = read_listed(folder, entry)
        try:
            if name == "facts.json":
                facts = json.loads(data)
            else:
                tensors[name.removesuffix(".safetensors")] = safetensors.torch.load(data)
        except (ValueError, RecursionError, SafetensorError) as error:
            raise CheckpointError(f"{folder / str(entry['file'])} is not what its name says ({error}); use an older checkpoint") from error
    return tensors, facts


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file so that its name always means a whole file: temporary name, flush to disk, rename."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    descriptor = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove_others(folder: Path, keep: set[str]) -> None:
    for path in folder.iterdir():
        ours = path.suffix in (".safetensors", ".json", ".tmp")
        if ours and path.is_file() and path.name not in keep:
            path.unlink()


def _read_manifest(folder: Place) -> dict[str, Any]:
    if folder.is_file():
        with folder.open("rb") as file:
            zipped = file.read(4) == b"PK\x03\x04"
        what = "a zip, as Stable-Baselines3 saves; reading one can run code, so it is refused" if zipped else "a file"
        raise CheckpointError(f"{folder} is {what}; expected a checkpoint folder made by FusedPPO.save")
    path = folder / MANIFEST
    if not path.is_file():
        raise CheckpointError(f"{folder}: no checkpoint there ({MANIFEST} is missing); expected a folder made by FusedPPO.save")
    if _length(path) > MOST_MANIFEST_BYTES:
        raise CheckpointError(f"{path} has {_length(path)} bytes, expected some hundred; it is no checkpoint's manifest")
    try:
        manifest = json.loads(path.read_bytes())
        found = (manifest["format"], manifest["version"])
        entries = [(Path(entry["file"]), str(entry["sha256"]), int(entry["bytes"])) for entry in manifest["files"].values()]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, zipfile.BadZipFile) as error:
        raise CheckpointError(f"{path} is damaged or not a checkpoint's manifest ({error}); use an older checkpoint") from error
    if found != (FORMAT, VERSION):
        raise CheckpointError(f"{path} is {found[0]!r} version {found[1]!r}, expected {FORMAT!r} version {VERSION}; train it again")
    for name, _, _ in entries:
        if name.name != str(name):
            raise CheckpointError(f"{path} names {str(name)!r}, which is outside the checkpoint; refused")
    if len({name for name, _, _ in entries}) < len(entries):
        raise CheckpointError(f"{path} names one file several times; it is no checkpoint's manifest")
    return dict(manifest)


def read_listed(folder: Place, entry: Mapping[str, Any]) -> bytes:
    """Read a file of a folder, and check every byte.

    Args:
        folder: Where it lies.
        entry: Its name, length and SHA-256: ``file``, ``bytes`` and ``sha256``.

    Raises:
        CheckpointError: It is not there, no plain file, truncated or changed.
    """
    path = folder / str(entry["file"])
    try:
        length = _length(path)
        data = path.read_bytes() if length == entry["bytes"] else b""
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise CheckpointError(f"{path} cannot be read ({error}); use an older checkpoint") from error
    if len(data) != entry["bytes"]:
        what = "truncated" if length < entry["bytes"] else "not the manifest's"
        raise CheckpointError(f"{path} is {what}: it has {length} bytes, expected {entry['bytes']}; use an older checkpoint")
    if hashlib.sha256(data).hexdigest() != entry["sha256"]:
        raise CheckpointError(f"{path} was changed: its SHA-256 is not the manifest's; use an older checkpoint")
    return data


def _length(path: Place) -> int:
    """Bytes of a checkpoint's file, before any is read.

    Raises:
        CheckpointError: It is a link, a pipe or a device: reading it would lead out of the checkpoint, or to no end.
    """
    if isinstance(path, zipfile.Path):
        return path.root.getinfo(path.at).file_size
    status = path.lstat()
    if not stat.S_ISREG(status.st_mode):
        raise CheckpointError(f"{path} is a link or no file at all, expected a plain file; copy the checkpoint's own files there")
    return status.st_size
