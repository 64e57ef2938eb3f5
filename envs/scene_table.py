"""Scenes as a table: one row an instant, one column a field; and the Parquet files that hold such tables.

The road map and everything that is not per instant travel as JSON in the file's metadata. Nothing is ever unpickled. A file is written
beside its place, synced, and renamed, so that a reader finds the old file or the new one.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from fsspec.implementations.local import LocalFileSystem
from torch import Tensor

from sensors.errors import ConfigError, DriveFusionError
from sensors.faults import Faults
from sensors.road import Pieces, RoadMap
from sensors.scene import Scene
from sensors.weather import Weather

METADATA_KEY = b"drive_fusion"
MOST_EXPANSION, SMALL_BYTES = 200, 1 << 28
"""A file that claims to hold more than so many times its own length, and more than this, is none of ours: they shrink by tens."""
NESTED = {"weather": Weather, "faults": Faults}


class RecordingError(DriveFusionError, ValueError):
    """A recording or clip that cannot be read: truncated, damaged, foreign, or of a newer format."""


def column_of(values: Tensor) -> pa.Array:
    """One column: a number a row, or a list of fixed length a row. Shape (N, ...)."""
    array = values.detach().cpu().contiguous().numpy()
    flat = pa.array(array.reshape(-1))
    return flat if array.ndim == 1 else pa.FixedSizeListArray.from_arrays(flat, int(np.prod(array.shape[1:])))


def tensor_of(column: pa.ChunkedArray, shape: list[int]) -> Tensor:
    """Read a column back, (N, *shape)."""
    values = column.combine_chunks()
    flat = values.flatten() if pa.types.is_fixed_size_list(values.type) else values
    return torch.from_numpy(flat.to_numpy(zero_copy_only=False).copy()).reshape(len(column), *shape)


def _scene_tensors(scene: Scene) -> dict[str, Tensor]:
    """Every tensor of a scene by name, nested ones as ``weather.visibility_m``."""
    tensors: dict[str, Tensor] = {}
    for field in fields(scene):
        value = getattr(scene, field.name)
        if isinstance(value, Tensor):
            tensors[field.name] = value
        elif field.name in NESTED:
            tensors |= {f"{field.name}.{inner.name}": getattr(value, inner.name) for inner in fields(value)}
    return tensors


def scene_columns(scenes: Scene) -> tuple[dict[str, pa.Array], dict[str, Any]]:
    """Turn scenes into columns.

    Args:
        scenes: B = number of instants.

    Returns:
        The columns by name, and what goes into the metadata: shapes, dtypes and the road map. Fields without elements (no fault at
        all) have no column.
    """
    tensors = _scene_tensors(scenes)
    about = {
        "shapes": {name: list(tensor.shape[1:]) for name, tensor in tensors.items()},
        "dtypes": {name: str(tensor.dtype).removeprefix("torch.") for name, tensor in tensors.items()},
        "road": road_as_json(scenes.road),
    }
    return {name: column_of(tensor) for name, tensor in tensors.items() if tensor[:1].numel()}, about


def scenes_of(table: pa.Table, about: Mapping[str, Any]) -> Scene:
    """Read scenes back; the inverse of ``scene_columns``, bit for bit."""
    absent = [name for name, shape in about["shapes"].items() if name not in table.column_names and 0 not in shape]
    if absent and len(table):
        raise ValueError(f"no column {absent[0]}")
    tensors = {
        name: tensor_of(table[name], shape)
        if name in table.column_names
        else torch.zeros((len(table), *shape), dtype=getattr(torch, about["dtypes"][name]))
        for name, shape in about["shapes"].items()
    }
    nested: dict[str, Any] = {
        part: cls(**{name.removeprefix(f"{part}."): tensor for name, tensor in tensors.items() if name.startswith(f"{part}.")})
        for part, cls in NESTED.items()
    }
    plain: dict[str, Any] = {name: tensor for name, tensor in tensors.items() if "." not in name}
    return Scene(**plain, **nested, road=road_from_json(about["road"]))


def road_as_json(road: RoadMap) -> dict[str, Any]:
    """A road map as lists and names; floats survive exactly."""
    return json.loads(json.dumps(asdict(road), default=_listed))  # type: ignore[no-any-return]


def road_from_json(data: Mapping[str, Any]) -> RoadMap:
    """The inverse of ``road_as_json``."""

    def array(value: Any, name: str) -> Any:
        whole = name in ("lane_of_piece", "lane_road", "lane_index", "paint_line")
        return np.asarray(value, np.int64 if whole else np.float64)

    def pieces(table: Mapping[str, Any]) -> Pieces:
        arrays = {name: array(value, name) for name, value in table.items()}
        return Pieces(**arrays | {"start_m": arrays["start_m"].reshape(-1, 2)})

    plain = {name: array(value, name) for name, value in data.items() if name not in ("lanes", "paint", "name")}
    return RoadMap(lanes=pieces(data["lanes"]), paint=pieces(data["paint"]), name=data["name"], **plain)


def _listed(value: Any) -> Any:
    """What JSON does not know of numpy."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} {value!r} has no JSON form")


def as_json(value: Any) -> Any:
    """Plain JSON data of a configuration: tuples become lists, numpy's numbers Python's."""
    return json.loads(json.dumps(value, default=_listed))


def write_table(path: str | Path, columns: Mapping[str, pa.Array], metadata: Mapping[str, Any]) -> None:
    """Write one Parquet file in one piece.

    Args:
        path: A local path, or one that fsspec knows (``memory://``, ``s3://``).
        columns: Columns of equal length.
        metadata: JSON data; goes into the file's schema.
    """
    table = pa.table(dict(columns)).replace_schema_metadata({METADATA_KEY: json.dumps(metadata, default=_listed).encode()})
    filesystem, place = fsspec.url_to_fs(str(path))
    if not isinstance(filesystem, LocalFileSystem):
        with filesystem.open(place, "wb") as file:  # object stores show a file when it is closed
            _write(table, file)
        return
    target = Path(place)
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_name(f".{target.name}.{uuid.uuid4().hex}.tmp")
    try:
        with beside.open("wb") as file:
            _write(table, file)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(target)
    finally:
        beside.unlink(missing_ok=True)


def _write(table: pa.Table, file: Any) -> None:
    pq.write_table(table, file, compression="zstd", use_dictionary=False, write_page_checksum=True)


def read_table(path: str | Path, expected_format: str, version: int) -> tuple[pa.Table, dict[str, Any]]:
    """Read a file that ``write_table`` wrote.

    Args:
        path: Where it lies.
        expected_format: What its metadata must say under ``format``.
        version: The newest format version that the caller reads.

    Returns:
        The table and the metadata.

    Raises:
        RecordingError: The file is truncated, damaged, not ours, or of a newer version.
        FileNotFoundError: There is no file.
    """
    filesystem, place = fsspec.url_to_fs(str(path))
    try:
        with filesystem.open(place, "rb") as file:
            parquet = pq.ParquetFile(file, page_checksum_verification=True)
            _check_expansion(parquet, filesystem.size(place))
            table = parquet.read()
        metadata = json.loads((table.schema.metadata or {})[METADATA_KEY])
        if not isinstance(metadata, dict):
            raise ValueError(f"its metadata is {type(metadata).__name__}, expected an object")
    except (pa.ArrowException, OSError, ValueError, KeyError, RecursionError, ConfigError) as error:
        if isinstance(error, FileNotFoundError | IsADirectoryError | PermissionError):
            raise
        reason = "it is a Parquet file of another program" if isinstance(error, KeyError) else str(error).splitlines()[0]
        raise RecordingError(f"{path}: not a whole {expected_format} file ({reason}); copy or record it again") from error
    if metadata.get("format") != expected_format:
        raise RecordingError(f"{path}: holds a {metadata.get('format')!r}, expected a {expected_format!r}")
    if not isinstance(metadata.get("version", 0), int):
        raise RecordingError(f"{path}: has format version {metadata['version']!r}, expected a whole number")
    if metadata.get("version", 0) > version:
        raise RecordingError(f"{path}: has format version {metadata['version']}, this program reads up to {version}; update drive-fusion")
    return table, metadata


def _check_expansion(parquet: pq.ParquetFile, length: int | None) -> None:
    """Refuse a file that would unfold to far more than it is, before any of it is unfolded."""
    about = parquet.metadata
    widths = [_row_bytes(field.type) for field in parquet.schema_arrow]
    unfolded = max(about.num_rows * sum(widths), sum(about.row_group(number).total_byte_size for number in range(about.num_row_groups)))
    if length is not None and unfolded > max(SMALL_BYTES, MOST_EXPANSION * length):
        raise ValueError(f"{length} bytes that unfold to {unfolded}")


def _row_bytes(kind: pa.DataType) -> int:
    """Bytes that a row of a column takes at least."""
    if pa.types.is_fixed_size_list(kind):
        return int(kind.list_size) * _row_bytes(kind.value_type)
    try:
        return max(1, int(kind.bit_width) // 8)
    except ValueError:  # of no fixed width
        return 1
