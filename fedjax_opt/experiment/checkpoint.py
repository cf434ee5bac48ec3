"""Checkpoints of a long run: a folder that belongs to one run and grows with it.

`run.json` says to what the folder belongs, `clock` holds the events, and folders with
the number of halts that are behind, such as `000000400`, the numbers; the last two of
them are kept. Each is written beside its place and then renamed.
"""

import contextlib
import errno
import hashlib
import json
import logging
import math
import os
import pathlib
import re
import shutil
from collections.abc import Iterator
from typing import Any

import jax.numpy as jnp
import numpy as np

KEPT = 2  # checkpoints of the numbers: the last one, and one to go back to

OWNER, CLOCK, ABOUT, JOINED = "run.json", "clock", "about.json", "arrays"
NUMBERS = re.compile(r"\d{9}")
UNFINISHED = re.compile(r"\.(\d{9}|clock)\.partial.*")  # orbax adds to its end

Arrays = dict[str, np.ndarray]


def claim(folder, owner: dict[str, Any]) -> pathlib.Path:
    """Makes a folder of checkpoints, or checks that it is the owner's.

    Args:
      folder: may be missing or empty.
      owner: what makes the run: {what: digest or plain value}.

    Raises:
      ValueError: if it belongs to something else; nothing in it is changed then.
    """
    folder = pathlib.Path(folder).absolute()
    path = folder / OWNER
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"checkpoint={folder} is a file: give a folder")
    if path.exists():
        _check_owner(folder, owner)
    else:
        partial = path.with_suffix(".partial")
        if folder.exists() and set(folder.iterdir()) - {partial}:
            raise ValueError(
                f"the folder {folder} is not empty and holds no checkpoint: give "
                "another folder to checkpoint="
            )
        folder.mkdir(parents=True, exist_ok=True)
        partial.write_text(json.dumps(owner, indent=2) + "\n", encoding="utf-8")
        partial.replace(path)
    _remove_unfinished(folder)
    return folder


def _check_owner(folder: pathlib.Path, owner: dict[str, Any]) -> None:
    try:
        found = json.loads((folder / OWNER).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(_damaged_owner(folder)) from error
    if not isinstance(found, dict):
        raise ValueError(_damaged_owner(folder))
    names = [n for n in {**owner, **found} if owner.get(n) != found.get(n)]
    if names:
        raise ValueError(
            f"the checkpoint {folder} belongs to another run, which differs in "
            f"{', '.join(names)}: give another folder to checkpoint=, or remove it"
        )


def _damaged_owner(folder: pathlib.Path) -> str:
    return (
        f"{folder / OWNER} is truncated or damaged, so that nobody knows whose the "
        "checkpoint is: give another folder to checkpoint=, or remove it"
    )


def newest(folder: pathlib.Path) -> int | None:
    """How many halts are behind in the last checkpoint of the numbers, if any."""
    return max(_saved(folder), default=None)


def _saved(folder: pathlib.Path) -> list[int]:
    names = (entry.name for entry in folder.iterdir())
    return sorted(int(name) for name in names if NUMBERS.fullmatch(name))


def numbers_of(folder: pathlib.Path, done: int) -> pathlib.Path:
    """Where the numbers lie when so many halts are behind."""
    return folder / f"{done:09d}"


def save_numbers(folder: pathlib.Path, done: int, arrays: Arrays) -> None:
    """Writes a checkpoint of the numbers, and then removes those before the last."""
    write(numbers_of(folder, done), arrays)
    for old in _saved(folder)[:-KEPT]:
        shutil.rmtree(numbers_of(folder, old))


def write(path: pathlib.Path, arrays: Arrays) -> None:
    """Writes named arrays to a new folder, whole or not at all.

    Raises:
      OSError: if they cannot be written, because the disk is full, say.
    """
    layout = {name: [str(x.dtype), x.shape] for name, x in arrays.items()}
    partial = path.with_name(f".{path.name}.partial")
    try:
        with _quiet():
            orbax, checkpointer = _orbax()
            # As one array: a third of the time, and one error where there is no room.
            joined = np.frombuffer(b"".join(map(_bytes, arrays.values())), np.uint8)
            checkpointer.save(partial, args=orbax.args.PyTreeSave({JOINED: joined}))
        about = json.dumps({"layout": layout, "digests": _digests(partial)})
        (partial / ABOUT).write_text(about, encoding="utf-8")
        partial.replace(path)
    except (OSError, ValueError) as error:
        _remove_unfinished(path.parent)
        number = _os_error(error)
        reason = os.strerror(number) if number else str(error).splitlines()[0]
        raise OSError(
            number or errno.EIO,
            f"{reason}: the checkpoint could not be written; those before it are whole:"
            " make room and start the same run again, which goes on from there",
            str(path),
        ) from error


def read(path: pathlib.Path) -> Arrays:
    """The arrays of `write`.

    Raises:
      ValueError: if any of it is missing, or not as it was written.
    """
    try:
        about = json.loads((path / ABOUT).read_text(encoding="utf-8"))
        damaged = _digests(path) != about["digests"]
    except (OSError, ValueError) as error:
        raise ValueError(_unreadable(path)) from error
    if damaged:
        raise ValueError(_unreadable(path))
    _, checkpointer = _orbax()
    rest = memoryview(checkpointer.restore(path)[JOINED])
    arrays = {}
    for name, (dtype, shape) in about["layout"].items():
        size = math.prod(shape) * jnp.dtype(dtype).itemsize
        arrays[name] = np.frombuffer(rest[:size], jnp.dtype(dtype)).reshape(shape)
        rest = rest[size:]
    return arrays


def _bytes(array: np.ndarray) -> bytes:
    return np.ascontiguousarray(array).tobytes()


def _digests(path: pathlib.Path) -> dict[str, str]:
    """The SHA-256 of every file but the one that has them."""
    digests = {}
    for file in sorted(path.rglob("*")):
        if file.is_file() and file.name != ABOUT:
            with file.open("rb") as opened:
                digest = hashlib.file_digest(opened, "sha256")
            digests[str(file.relative_to(path))] = digest.hexdigest()
    return digests


def _remove_unfinished(folder: pathlib.Path) -> None:
    for entry in folder.iterdir():
        if UNFINISHED.fullmatch(entry.name):
            shutil.rmtree(entry, ignore_errors=True)


def _unreadable(path: pathlib.Path) -> str:
    return (
        f"the checkpoint {path} is truncated or damaged: remove it, and the run goes "
        "on from what was saved before it"
    )


def _os_error(error: BaseException) -> int | None:
    """The number of the system's error that orbax reports in the text of its own."""
    if isinstance(error, OSError):
        return error.errno
    found = re.search(r"os_error_code='(\d+)'", str(error))
    return int(found[1]) if found else None


def _orbax() -> tuple[Any, Any]:
    """Orbax and its writer: one file per array, the fastest for few of them."""
    import orbax.checkpoint as orbax  # takes most of a second

    handler = orbax.PyTreeCheckpointHandler(use_ocdbt=False)
    return orbax, orbax.Checkpointer(handler)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps orbax from logging what it raises as well."""

    def nothing(record: logging.LogRecord) -> bool:
        return False

    logger = logging.getLogger("absl")
    logger.addFilter(nothing)
    try:
        yield
    finally:
        logger.removeFilter(nothing)
