"""What the tests of LMO transformations share: a small quadratic in two layers.

f(x) = ½ Σᵢ ⟨hᵢ (xᵢ − cᵢ), xᵢ − cᵢ⟩,   the gradient plus noise drawn beforehand
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from reference import lmo_loops as reference

from fedjax_opt import geometry

UPDATES = 12
_rng = np.random.default_rng(4)
SHAPES = ((3, 4), (5,))
X0 = [_rng.normal(size=s) for s in SHAPES]
CENTERS = [_rng.normal(size=s) for s in SHAPES]
CURVATURES = [_rng.uniform(0.5, 2.0, size=s) for s in SHAPES]
NOISE = [0.3 * _rng.normal(size=(UPDATES, *s)) for s in SHAPES]

# The spectral norm on the matrix, l2 on the vector.
NORM = geometry.matrices(geometry.spectral("svd"), geometry.l2())
LMO = [reference.spectral_lmo, reference.l2_lmo]
DUAL = [reference.spectral_dual, reference.l2_dual]


def norm(x):
    """The larger of both."""
    return max(np.linalg.norm(x[0], 2), np.linalg.norm(x[1]))


def value(x):
    """f, of NumPy or JAX arrays."""
    return sum(
        (h * (y - c) ** 2).sum() / 2
        for h, y, c in zip(CURVATURES, x, CENTERS, strict=True)
    )


def exact(x, k):
    """∇f(x)."""
    return [h * (y - c) for h, y, c in zip(CURVATURES, x, CENTERS, strict=True)]


def noisy(x, k):
    """∇f(x) and the noise of step k."""
    return [g + noise[k] for g, noise in zip(exact(x, k), NOISE, strict=True)]


def states_along(optimizer, gradient=noisy, updates=UPDATES):
    """The points, and the state after each update, on a leading axis."""
    optimizer = optax.with_extra_args_support(optimizer)
    noise = [jnp.asarray(n) for n in NOISE]

    def step(carry, k):
        x, state = carry
        g = exact(x, k)
        if gradient is noisy:
            g = [a + n[k] for a, n in zip(g, noise, strict=True)]
        updates, state = optimizer.update(g, state, x, value=value(x))
        x = optax.apply_updates(x, updates)
        return (x, state), (x, state)

    @jax.jit
    def loop(x):
        return jax.lax.scan(step, (x, optimizer.init(x)), jnp.arange(updates))[1]

    points, states = loop([jnp.asarray(x) for x in X0])
    points = [np.concatenate([x[None], y]) for x, y in zip(X0, points, strict=True)]
    return points, states


def path(optimizer, gradient=noisy, updates=UPDATES):
    """The points of an optimizer."""
    return states_along(optimizer, gradient, updates)[0]


def close(found, expected):
    """Points on a leading axis against a list of points."""
    for i, layer in enumerate(found):
        np.testing.assert_allclose(
            layer, np.stack([x[i] for x in expected]), rtol=1e-9, atol=1e-12
        )
