"""Plain data: nested Python values as JSON beside named tensors, and back, without any file being able to run code.

What is not a number, text, list, tuple, dict, array or tensor must be one of the classes named here (or handed in by the caller).
Reading looks names up in that table; it never imports.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common import buffers, policies, torch_layers
from stable_baselines3.common.utils import ConstantSchedule, FloatSchedule, LinearSchedule
from torch import Tensor, nn, optim

from drive_fusion.bev import BevGrid
from drive_fusion.extractor import FusedExtractor, ModelSize
from drive_fusion.policy import FusedPolicy
from drive_fusion.privileged import PrivilegedExtractor
from drive_fusion.rollout import Rollout
from sensors.camera.config import Camera
from sensors.errors import DriveFusionError
from sensors.lidar.config import Lidar
from sensors.mount import Mount
from sensors.radar.config import Radar
from sensors.rig import Rig

TAG = "$"
_OBJECT_FIELDS: dict[type, tuple[str, ...]] = {
    ConstantSchedule: ("val",),
    FloatSchedule: ("value_schedule",),
    LinearSchedule: ("start", "end", "end_fraction"),
    spaces.Box: ("low", "high", "shape", "dtype"),
    spaces.Discrete: ("n", "start"),
    spaces.MultiDiscrete: ("nvec",),
    spaces.MultiBinary: ("n",),
    spaces.Dict: ("spaces",),
    **{kind: tuple(field.name for field in fields(kind)) for kind in (Rig, Mount, Camera, Lidar, Radar, ModelSize, BevGrid)},
}
_BY_NAME: dict[str, type] = {
    kind.__name__: kind
    for kind in (
        *_OBJECT_FIELDS,
        FusedExtractor,
        FusedPolicy,
        PrivilegedExtractor,
        Rollout,
        policies.ActorCriticPolicy,
        policies.ActorCriticCnnPolicy,
        policies.MultiInputActorCriticPolicy,
        torch_layers.CombinedExtractor,
        torch_layers.FlattenExtractor,
        torch_layers.NatureCNN,
        buffers.RolloutBuffer,
        buffers.DictRolloutBuffer,
        *(nn.Tanh, nn.ReLU, nn.SiLU, nn.ELU, nn.GELU, nn.LeakyReLU, nn.Identity),
        *(optim.Adam, optim.AdamW, optim.SGD, optim.RMSprop),
    )
}


class PlainDataError(DriveFusionError, TypeError):
    """A value that cannot be stored as plain data, or stored data that names what is not known here."""


def encode(value: Any, tensors: dict[str, Tensor], where: str = "") -> Any:
    """Turn a value into JSON; arrays and tensors go into ``tensors``, named by their place.

    Args:
        value: Nested plain data.
        tensors: Filled with what JSON cannot hold.
        where: The value's own place, for names and messages.

    Raises:
        PlainDataError: Some part is neither plain data nor of a known class.
    """
    if value is None or isinstance(value, (bool, str)) or type(value) is int:
        return value
    if type(value) is float:
        return value if math.isfinite(value) else {TAG: "float", "value": repr(value)}
    if isinstance(value, (Tensor, np.ndarray, np.generic)):
        return _encode_array(value, tensors, where)
    if type(value) in (list, tuple, deque):
        items = [encode(item, tensors, f"{where}.{number}") for number, item in enumerate(value)]
        if isinstance(value, deque):
            return {TAG: "deque", "items": items, "maxlen": value.maxlen}
        return items if isinstance(value, list) else {TAG: "tuple", "items": items}
    names = _OBJECT_FIELDS.get(type(value))
    if names is not None:
        return {
            TAG: "object",
            "name": type(value).__name__,
            "fields": {name: encode(getattr(value, name), tensors, f"{where}.{name}") for name in names},
        }
    if isinstance(value, Mapping):
        return _encode_mapping(value, tensors, where)
    if isinstance(value, type):
        return {TAG: "class", "name": value.__name__}
    if isinstance(value, np.dtype):
        return {TAG: "dtype", "name": value.str}
    if callable(value) and not is_dataclass(value):
        return {TAG: "class", "name": getattr(value, "__name__", type(value).__name__)}
    raise PlainDataError(
        f"{where or 'the value'} is a {type(value).__name__}, which cannot be stored as plain data; use numbers and arrays"
    )


def decode(data: Any, tensors: Mapping[str, Tensor], known: Mapping[str, Any] | None = None) -> Any:
    """Turn JSON and tensors back into the value that `encode` took.

    Args:
        data: The JSON.
        tensors: The tensors by name.
        known: Further classes and functions, by the name they were stored under.

    Raises:
        PlainDataError: A name that neither this module nor ``known`` has, or a malformed entry.
    """
    if isinstance(data, list):
        return [decode(item, tensors, known) for item in data]
    if not isinstance(data, dict):
        return data
    if TAG not in data:
        return {key: decode(item, tensors, known) for key, item in data.items()}
    try:
        return _decode_tagged(data, tensors, known or {})
    except KeyError as error:
        raise PlainDataError(f"stored data has no {error} in its {data[TAG]!r} entry; the file is damaged or of another version") from error


def _encode_array(value: Any, tensors: dict[str, Tensor], where: str) -> Any:
    kind = "tensor" if isinstance(value, Tensor) else "array" if isinstance(value, np.ndarray) else "scalar"
    array = value if isinstance(value, Tensor) else np.asarray(value)
    if isinstance(array, np.ndarray) and array.dtype.kind not in "biuf":
        raise PlainDataError(f"{where} is an array of {array.dtype}, expected numbers or booleans")
    tensor = array if isinstance(array, Tensor) else torch.from_numpy(np.array(array, order="C"))
    tensors[where] = tensor.detach().cpu().contiguous().clone()
    return {TAG: kind, "name": where}


def _encode_mapping(value: Mapping[Any, Any], tensors: dict[str, Tensor], where: str) -> Any:
    if all(isinstance(key, str) for key in value) and TAG not in value:
        return {key: encode(item, tensors, f"{where}.{key}") for key, item in value.items()}
    pairs = [
        [encode(key, tensors, f"{where}.key{n}"), encode(item, tensors, f"{where}.{n}")] for n, (key, item) in enumerate(value.items())
    ]
    return {TAG: "dict", "items": pairs}


def _decode_tagged(data: dict[str, Any], tensors: Mapping[str, Tensor], known: Mapping[str, Any]) -> Any:
    kind = data[TAG]
    if kind == "float":
        return float(data["value"])
    if kind in ("tensor", "array", "scalar"):
        tensor = tensors[data["name"]]
        return tensor if kind == "tensor" else tensor.numpy() if kind == "array" else tensor.numpy()[()]
    if kind in ("tuple", "deque"):
        items = [decode(item, tensors, known) for item in data["items"]]
        return tuple(items) if kind == "tuple" else deque(items, maxlen=data["maxlen"])
    if kind == "dict":
        return {decode(key, tensors, known): decode(item, tensors, known) for key, item in data["items"]}
    if kind == "dtype":
        return np.dtype(data["name"])
    if kind in ("class", "object"):
        name = data["name"]
        if name not in known and name not in _BY_NAME:
            raise PlainDataError(f"stored data names {name!r}, which is not known here; hand it in as custom_objects={{{name!r}: …}}")
        found = known.get(name, _BY_NAME.get(name))
        if kind == "class":
            return found
        if found not in _OBJECT_FIELDS and name not in known:
            raise PlainDataError(
                f"stored data makes an object of {name!r}, expected one of {', '.join(sorted(k.__name__ for k in _OBJECT_FIELDS))}"
            )
        made = {key: decode(item, tensors, known) for key, item in data["fields"].items()}
        if found is spaces.Box and np.shape(made["low"]) != tuple(made["shape"]):  # a number would be spread over any shape
            raise PlainDataError(
                f"stored data makes a Box of shape {made['shape']} of bounds of {np.shape(made['low'])}; the file is damaged"
            )
        return found(**made)  # type: ignore[misc]
    raise PlainDataError(f"stored data has an entry of kind {kind!r}, which is not known here; it comes from another version")
