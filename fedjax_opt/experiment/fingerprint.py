"""What tells one run from another: digests that are the same in every process."""

import dataclasses
import functools
import hashlib
import importlib.metadata
import pathlib
import platform
import types
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..static import stacked
from .checkpoint import claim
from .chunks import Chunks


def claimed(
    chunks: Chunks, mesh, methods: list, problem, keys: list, horizon, cluster
) -> pathlib.Path | None:
    """The folder of the checkpoints, if there is one, and it is that of this run.

    Everything is told apart on which a bit of the trace may depend, and by its name.

    Raises:
      ValueError: as `claim`.
    """
    if chunks.folder is None:
        return None
    devices = jax.local_devices() if mesh is None else list(mesh.devices.flat)
    owner = {
        "kind": "run",
        "python": platform.python_version(),
        "jax": jax.__version__,
        "fedjax-opt": version("fedjax-opt"),
        "x64": jnp.result_type(float) == jnp.float64,
        "matrix precision": jax.config.values["jax_default_matmul_precision"],
        "devices": f"{len(devices)} of {devices[0].device_kind}",
        "mesh": None if mesh is None else list(mesh.devices.shape),
        "method": digest([methods[0], jax.tree.leaves(stacked(methods))]),
        "problem": digest(problem),
        "key": digest(jnp.stack(keys)),
        "cluster": digest(cluster),
        "horizon": digest(horizon),
        "chunk": chunks.length,
    }
    return claim(chunks.folder, owner)


@functools.cache
def version(package: str) -> str | None:
    """The version of an installed package."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:  # used from a checkout
        return None


def digest(value: Any) -> str:
    """The SHA-256 of a value, as hexadecimal digits.

    Arrays count by their entries, functions by their code, what they close over, and
    the functions and numbers of their own module that they name. Modules and classes
    count by name alone; so does what a function calls in other modules.
    """
    total, seen = hashlib.sha256(), {}
    _add(value, total.update, seen)
    return total.hexdigest()


def _add(value, update: Callable[[bytes], None], seen: dict[int, Any]) -> None:
    """Hashes a value; `seen` has those above and before it, numbered."""
    kind, bare, parts = _taken_apart(value)
    update(f"{kind} {len(bare)} {len(parts)} ".encode())
    update(bare)
    if _may_be_met_again(value):
        if id(value) in seen:
            update(f"again {seen[id(value)][0]} ".encode())
            return
        seen[id(value)] = len(seen), value  # kept alive: its id stays its own
    for part in parts:
        _add(part, update, seen)


def _may_be_met_again(value) -> bool:
    """Can it contain itself? Where not, equal ones need not be one object."""
    plain = None | bool | int | float | complex | str | bytes | tuple | np.generic
    return not isinstance(value, plain | np.ndarray | jax.Array | types.CodeType)


def _taken_apart(value) -> tuple[str, bytes, list[Any]]:
    """Kind, bytes, and the parts that are values themselves."""
    kind = f"{type(value).__module__}.{type(value).__qualname__}"
    match value:
        case None | bool() | int() | float() | complex() | str() | bytes():
            return kind, repr(value).encode(), []
        case np.ndarray() | np.generic() | jax.Array():
            return "array", *_of_array(value)
        case tuple() | list():
            return kind, b"", list(value)
        case set() | frozenset():
            return kind, b"", sorted(map(digest, value))
        case dict():
            return kind, b"", sorted(value.items(), key=lambda item: digest(item[0]))
        case type() | types.BuiltinFunctionType():
            return kind, f"{value.__module__}.{value.__qualname__}".encode(), []
        case types.ModuleType():
            return kind, value.__name__.encode(), []
        case types.FunctionType():
            return kind, *_of_function(value)
        case types.CodeType():
            names = [value.co_names, value.co_varnames, value.co_freevars]
            return kind, value.co_code, [*value.co_consts, *names]
        case types.MethodType():
            return kind, b"", [value.__func__, value.__self__]
        case functools.partial():
            return kind, b"", [value.func, value.args, value.keywords]
    if dataclasses.is_dataclass(value):
        names = [field.name for field in dataclasses.fields(value)]
        return kind, b"", [(name, getattr(value, name, None)) for name in names]
    wrapped = getattr(value, "__wrapped__", None)  # jit, lru_cache and the like
    return kind, b"", _state(value) if wrapped is None else [wrapped]


def _of_array(value) -> tuple[bytes, list[Any]]:
    name = str(value.dtype)
    if jnp.issubdtype(value.dtype, jax.dtypes.prng_key):
        value = jax.random.key_data(value)
    value = np.asarray(value)
    if value.dtype == object:
        return b"", [name, value.shape, *value.ravel().tolist()]
    return np.ascontiguousarray(value).tobytes(), [name, value.shape]


def _of_function(value: types.FunctionType) -> tuple[bytes, list[Any]]:
    name, code = f"{value.__module__}.{value.__qualname__}".encode(), value.__code__
    named = [value.__globals__.get(name) for name in code.co_names]
    return name, [
        code,
        value.__defaults__,
        value.__kwdefaults__,
        [_content(cell) for cell in value.__closure__ or ()],
        [x for x in named if isinstance(x, int | float) or _is_beside(x, value)],
    ]


def _is_beside(other, function: types.FunctionType) -> bool:
    own_module = function.__module__
    return isinstance(other, types.FunctionType) and other.__module__ == own_module


def _content(cell: types.CellType):
    try:
        return cell.cell_contents
    except ValueError:  # not filled yet
        return None


def _state(value) -> list[Any]:
    """What `pickle` would write of a value; nothing where it would refuse."""
    try:
        reduced = value.__reduce_ex__(4)
    except TypeError:
        return []
    if isinstance(reduced, str):
        return [reduced]
    function, arguments, state, *items = (*reduced, None, None, None)[:5]
    return [function, arguments, state, *(list(i) for i in items if i is not None)]
