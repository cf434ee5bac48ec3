"""Steps of Muon, five Newton–Schulz iterations, against `optax.contrib.muon`."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import optax

import fedjax_opt as fo

from .harness import Row, compare

BETA, STEP_SIZE = 0.95, 0.02

EQUAL = {f"layer{i}": (768, 768) for i in range(12)}
MIXED = {
    "embedding": (1000, 384),
    "positions": (128, 384),
    "head": (384,),
} | {
    f"{i}/{name}": shape
    for i in range(4)
    for name, shape in {
        "query": (384, 384),
        "key": (384, 384),
        "value": (384, 384),
        "out": (384, 384),
        "up": (384, 1536),
        "down": (1536, 384),
        "bias": (1536,),
        "scale": (384,),
    }.items()
}


def lmo_step() -> list[Row]:
    """Equal leaves, and the leaves of a small transformer."""
    return [_row("lmo_step", EQUAL), _row("lmo_step_mixed", MIXED)]


def _row(name: str, shapes: dict[str, tuple[int, ...]]) -> Row:
    """One update of a compiled optimizer, its state donated."""
    keys = jax.random.split(jax.random.key(0), len(shapes))
    grads = {
        leaf: jax.random.normal(key, shape, jnp.float32)
        for key, (leaf, shape) in zip(keys, shapes.items(), strict=True)
    }
    geometry = fo.geometry.matrices(fo.geometry.spectral("jordan", 5), fo.geometry.l2())
    ours = fo.transforms.lmo_step(geometry, STEP_SIZE, momentum=BETA)
    theirs = optax.contrib.muon(STEP_SIZE, beta=BETA, nesterov=False)
    directions = (
        fo.transforms.scale_by_lmo(geometry),
        optax.contrib.scale_by_muon(
            beta=BETA, nesterov=False, weight_dimension_numbers=_all_of_them
        ),
    )
    errors = [_distance(direction, grads) for direction in directions]
    return compare(
        name,
        _steps(ours, grads),
        _steps(theirs, grads),
        work=(1, 1),
        unit="steps/s",
        against="optax.contrib.muon, the same coefficients and momentum; Adam on the "
        "leaves that are no matrices",
        d=sum(x.size for x in jax.tree.leaves(grads)),
        target="ratio ≥ 1.0",
        note=f"distance from the exact polar factors {errors[0]:.5f} of their norm, "
        f"optax's {errors[1]:.5f}",
    )


def _steps(optimizer, grads):
    """A function that makes the next step of a training loop."""
    update = jax.jit(optimizer.update, donate_argnums=1)
    state = optimizer.init(grads)

    def step():
        nonlocal state
        updates, state = update(grads, state, grads)
        return updates

    return step


def _all_of_them(matrices):
    """Optax's way to say that leaves are matrices (in, out)."""
    return jax.tree.map(lambda _: optax.contrib.MuonDimensionNumbers(), matrices)


def _distance(direction, grads) -> float:
    """|Z − U Vᵀ| / |U Vᵀ| over one matrix of each shape, Z what U Σ Vᵀ becomes."""
    matrices = {leaf: grad for leaf, grad in grads.items() if grad.ndim == 2}
    found, _ = direction.update(matrices, direction.init(matrices))
    missed, total = 0.0, 0.0
    for leaf in {grad.shape: leaf for leaf, grad in matrices.items()}.values():
        exact = np.asarray(fo.linalg.polar_svd(grads[leaf]))
        missed += np.sum((np.asarray(found[leaf]) - exact) ** 2)
        total += np.sum(exact**2)
    return math.sqrt(missed / total)
