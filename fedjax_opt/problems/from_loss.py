"""Problems of anybody's own loss and arrays: the one place where rows are sampled."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ..static import bind
from ..tree import leaf_names
from ..types import Array, Problem, Tree
from .split import Split, resolve


class RowsData(NamedTuple):
    """The numbers of a problem whose losses are means over rows.

    Attributes:
      rows: pytree of arrays [N, ...].
      indices: [n, m_max], the rows of each worker; None where everybody has all rows.
      counts: [n], how many entries of a line of `indices` count; None where all do.
      weights: [N], of each row in f; None where all weigh 1/N.
      numbers: what the loss takes as its third argument, or None.
    """

    rows: Tree
    indices: Array | None
    counts: Array | None
    weights: Array | None
    numbers: Tree


def from_loss(
    loss: Callable[..., Array],
    data: Tree,
    num_workers: int | None = None,
    *,
    init: Tree,
    split: Split | None = None,
    samples_per_gradient: int | None = None,
    numbers: Tree = None,
    metrics: Mapping[str, Callable[..., Array]] | None = None,
    constants: Mapping[str, Any] | None = None,
) -> Problem:
    """A Problem of your own loss: fᵢ is its mean over worker i's rows, f = (1/n) Σᵢ fᵢ.

        def loss(params, batch):
            features, targets = batch
            return jnp.mean((features @ params - targets) ** 2)

        problem = from_loss(loss, (features, targets), 10, init=jnp.zeros(d))

    Every worker weighs the same in f, however many rows it holds. A stochastic
    gradient is ∇loss on rows drawn uniformly, with replacement, from the worker's
    own: an unbiased estimate of ∇fᵢ. Without a split f is also the finite sum of the
    losses of its rows, which methods of that kind pick one by one. So is fᵢ of its
    worker's rows, where all workers hold equally many.

    Args:
      loss: (params, batch) -> the mean over the batch's rows of a number per row; a
        regularizer may be added. `batch` is like `data`, with some of its rows.
      data: pytree of arrays with equal leading axis N, the rows.
      num_workers: n; the rows are cut in their order, see `contiguous`. None without
        a split: every worker has all rows.
      init: x⁰, a pytree of floating-point arrays.
      split: which rows each worker holds, instead of the cut.
      samples_per_gradient: rows of one stochastic gradient, may exceed the worker's;
        None: gradients are full and carry no noise.
      numbers: given to the loss as a third argument, as traced arrays: for strengths
        of regularizers, that must not make a new program for each value.
      metrics: {name: (params, rows) -> number}, computed on all N rows.
      constants: what you know: smoothness, f_star, ... (see `types.Problem`).

    Raises:
      ValueError: if sizes disagree.
      TypeError: if the loss does not return a scalar.
    """
    rows = jax.tree.map(jnp.asarray, data)
    init = jax.tree.map(jnp.asarray, init)
    numbers = jax.tree.map(jnp.asarray, numbers)
    num_rows = _num_rows(rows)
    if samples_per_gradient is not None and samples_per_gradient < 1:
        raise ValueError(
            f"samples_per_gradient must be at least 1, or None for full gradients, "
            f"not {samples_per_gradient}"
        )
    split = resolve(num_rows, num_workers, split)
    data = RowsData(rows, *_placement(split, num_rows), numbers)
    rows_each = _rows_each(split, num_rows)
    _check_scalar(loss, data, init)
    return Problem(
        data=data,
        init=init,
        loss=bind(_mean_loss, loss),
        draw=bind(_draw, samples_per_gradient) if samples_per_gradient else None,
        grad=bind(_gradient, loss),
        num_workers=None if split is None else len(split.counts),
        metrics={
            name: bind(_metric, metric) for name, metric in (metrics or {}).items()
        },
        constants=dict(constants or {}),
        num_components=num_rows if split is None else None,
        component=_component if split is None else None,
        local_components=rows_each,
        local_component=None if rows_each is None else _local_component,
    )


def row_weights(split: Split | None, num_rows: int) -> np.ndarray:
    """[N], the weight of each row in f: Σ of 1/(n·mᵢ) over the workers that hold it."""
    if split is None:
        return np.full(num_rows, 1 / num_rows)
    num_workers, width = split.indices.shape
    held = np.arange(width) < split.counts[:, None]
    each = np.broadcast_to(1 / (num_workers * split.counts[:, None]), held.shape)
    return np.bincount(split.indices[held], each[held], minlength=num_rows)


def _placement(split, num_rows):
    """(indices, counts, weights), None where all rows are alike."""
    if split is None:
        return None, None, None
    weights = row_weights(split, num_rows)
    same_size = np.all(split.counts == split.indices.shape[1])
    same_weight = np.ptp(weights) < 1e-12 / num_rows  # 1/(n·mᵢ), up to rounding
    return (
        jnp.asarray(split.indices, jnp.int32),
        None if same_size else jnp.asarray(split.counts, jnp.int32),
        None if same_weight else jnp.asarray(weights),
    )


def _mean_loss(loss, data, params):
    return _average(loss, data, params, data.rows, data.weights)


def _draw(size, key, data, worker):
    if data.indices is None:
        return jax.random.randint(key, (size,), 0, _num_rows(data.rows), jnp.int32)
    width = data.indices.shape[1]
    count = width if data.counts is None else data.counts[worker]
    return data.indices[worker, jax.random.randint(key, (size,), 0, count, jnp.int32)]


def _component(data, index):
    """The sample that holds one row alone."""
    del data
    return index[None]


def _rows_each(split: Split | None, num_rows: int) -> int | None:
    """How many rows every worker holds; None where they differ."""
    if split is None:
        return num_rows
    fewest, most = int(np.min(split.counts)), int(np.max(split.counts))
    return most if fewest == most else None


def _local_component(data, worker, index):
    """The sample that holds one row of a worker alone."""
    return (index if data.indices is None else data.indices[worker, index])[None]


def _gradient(loss, data, params, worker, sample):
    rows, weights = _rows_of(data, worker, sample)
    return jax.grad(_average, argnums=2)(loss, data, params, rows, weights)


def _rows_of(data, worker, sample):
    """The rows of a sample, or of a worker, and their weights."""
    if sample is not None:
        return _take(data.rows, sample), None
    if data.indices is None:
        return data.rows, None
    indices = data.indices[worker]
    rows = _take(data.rows, indices)
    if data.counts is None:
        return rows, None
    count = data.counts[worker]
    return rows, jnp.where(jnp.arange(indices.size) < count, 1 / count, 0)


def _average(loss, data, params, rows, weights):
    """The loss on a batch, whose rows weigh the same where `weights` is None."""
    numbers = () if data.numbers is None else (data.numbers,)
    if weights is None:
        return loss(params, rows, *numbers)

    def loss_of(row):
        return loss(params, jax.tree.map(lambda x: x[None], row), *numbers)

    losses = jax.vmap(loss_of)(rows)
    return losses @ weights.astype(losses.dtype)


def _metric(metric, data, params):
    return metric(params, data.rows)


def _take(rows, indices):
    return jax.tree.map(lambda x: x[indices], rows)


def _num_rows(rows) -> int:
    sizes = [x.shape[0] if x.ndim else None for x in jax.tree.leaves(rows)]
    if not sizes or len(set(sizes)) > 1 or not sizes[0]:
        named = dict(zip(leaf_names(rows), sizes, strict=True))
        raise ValueError(
            "data must be arrays with one leading axis N > 0, the rows; "
            f"their numbers of rows are {named}"
        )
    return sizes[0]


def _check_scalar(loss, data, params) -> None:
    def on_one_row(data, params):
        return _average(loss, data, params, _take(data.rows, slice(1)), None)

    shape = getattr(jax.eval_shape(on_one_row, data, params), "shape", None)
    if shape != ():
        raise TypeError(
            "loss(params, batch) must return one number, the mean over the batch's "
            f"rows, not an array of shape {shape}: take jnp.mean"
        )
