"""Training with norms of layers: AdamW, Muon, Scion, Gluon, MVR and HCM on digits.

    python docs/training.py docs/training.png

A convolutional network on scikit-learn's digits, 1500 rows to train and 297 to test.
Every run may compute 600 gradients on batches of 32 rows. MVR and Hessian products cost
two per update, so these methods make 300 updates, as "Gluon, half" does with half of
the gradients. All have the same batches, momenta of 0.9, a step size that decays
linearly to 0 (but for the horizon-free method, which has its own), and the same grid of
step sizes, tuned by the loss at the end over all training rows: mean of 3 seeds.
"""

import functools
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax
from flax import linen
from optax.contrib import MuonDimensionNumbers, muon

import fedjax_opt as fo
from fedjax_opt.experiment import plot
from fedjax_opt.needs import OF_ONE_SAMPLE

GRADIENTS, BATCH, RECORDS, TRAIN = 600, 32, 12, 1500
STEP_SIZES = 2.0 ** np.arange(-9, 3)
SEEDS = 3

# Scion's norms: spectral for convolutions as matrices (9 c_in) × c_out, the largest
# entry for the last layer, the root mean square entry for biases. The radii are chosen
# by hand, for Gluon; that of the last layer is large as in Scion's for NanoGPT.
GEOMETRY = fo.geometry.convolutional(
    convolutions="Conv_*",
    spatial_axes=(0, 1),
    input_axis=2,
    output_axis=3,
    head="Dense_0",
    radii={"head": 60.0, "vectors": 0.1},
)


def convolved(x, kernel, strides, padding, **options):
    """A convolution of 3 × 3 places as one product: ten times as fast under vmap."""
    del options
    height, width, stride = *x.shape[1:3], strides[0]
    x = jnp.pad(x, ((0, 0), *padding, (0, 0)))
    places = [
        x[:, i : i + height : stride, j : j + width : stride]
        for i in range(3)
        for j in range(3)
    ]
    return jnp.concatenate(places, -1) @ kernel.reshape(-1, kernel.shape[-1])


Conv = functools.partial(
    linen.Conv, kernel_size=(3, 3), padding=1, conv_general_dilated=convolved
)


class Network(linen.Module):
    """Two convolutions and a dense layer: 3818 parameters for pictures of 8 × 8."""

    @linen.compact
    def __call__(self, x):
        x = linen.relu(Conv(8)(x))
        x = linen.relu(Conv(16, strides=2)(x))
        return linen.Dense(10)(x.reshape(x.shape[0], -1))


class Method(NamedTuple):
    """(step size, number of updates) -> optimizer, and how many gradients it has."""

    make: Callable[..., optax.GradientTransformation]
    gradients: int = GRADIENTS


def decay(step_size, updates: int):
    """The schedule of all methods: linear, to 0 after the last update."""
    return lambda k: step_size * (1 - k / updates)


def axes_of_convolutions(params):
    """What optax's Muon takes for a matrix; the other leaves are AdamW's."""
    return jax.tree.map(
        lambda x: MuonDimensionNumbers((0, 1, 2), (3,)) if x.ndim == 4 else None, params
    )


def optax_muon(step_size, updates):
    """Muon of optax on convolutions, its AdamW on biases and on the last layer."""
    return muon(
        decay(step_size, updates),
        beta=0.9,
        muon_weight_dimension_numbers=axes_of_convolutions,
    )


def scion(step_size, updates):
    """In the ball of radius 10, to which its steps are relative."""
    return fo.transforms.scion(decay(step_size, updates), GEOMETRY, radius=10.0)


def horizon_free(step_size, updates):
    """Gluon with momentum 1 − (k+1)^(−1/2) and steps ~ (k+1)^(−3/4)."""
    del updates
    return fo.transforms.horizon_free_lmo(step_size, GEOMETRY)


def gluon(estimator):
    """Steps of one length in the norm of every layer, along an estimate."""
    return lambda step_size, updates: optax.chain(
        estimator, fo.transforms.lmo_step(GEOMETRY, decay(step_size, updates))
    )


METHODS = {
    "AdamW": Method(lambda *numbers: optax.adamw(decay(*numbers))),
    "Muon (optax)": Method(optax_muon),
    "Gluon": Method(gluon(fo.transforms.momentum(0.9))),
    "Gluon, horizon-free": Method(horizon_free),
    "Scion": Method(scion),
    "Gluon-MVR-1": Method(gluon(fo.estimators.mvr(0.9))),
    "Gluon-MVR-2": Method(gluon(fo.estimators.gluon_mvr2(0.9, 0.9))),
    "Gluon-MVR-3": Method(gluon(fo.estimators.gluon_mvr3(0.9, 0.9))),
    "HCM": Method(gluon(fo.transforms.hessian_momentum(0.9))),
    "Gluon, half": Method(gluon(fo.transforms.momentum(0.9)), GRADIENTS // 2),
}


def digits():
    """Pictures [N, 8, 8, 1] and labels [N], to train and to test."""
    data = fo.problems.datasets.load("digits")
    pictures = jnp.asarray(data.features, jnp.float32).reshape(-1, 8, 8, 1)
    labels = jnp.asarray(data.labels)
    return (pictures[:TRAIN], labels[:TRAIN]), (pictures[TRAIN:], labels[TRAIN:])


def loss(params, rows):
    """Mean cross-entropy."""
    pictures, labels = rows
    logits = Network().apply(params, pictures)
    return jnp.mean(
        optax.losses.softmax_cross_entropy_with_integer_labels(logits, labels)
    )


def accuracy(params, rows):
    """The part of rows that are classified rightly."""
    pictures, labels = rows
    return jnp.mean(jnp.argmax(Network().apply(params, pictures), -1) == labels)


@jax.jit
def first_params(seed):
    """Of flax, the same for all methods."""
    return Network().init(jax.random.key(seed), jnp.zeros((1, 8, 8, 1)))


def batches(seed: int, updates: int, num_rows: int):
    """Rows [updates, BATCH], drawn with replacement; the first ones are the same."""
    return np.random.default_rng(seed).integers(num_rows, size=(updates, BATCH))


def gradients_per_update(make, rows) -> int:
    """One, and one more for each input that takes another; the loss is free."""
    optimizer, oracle = fo.estimators.value_and_grads(loss, make(0.1, 1))

    def asked_for():
        params = first_params(0)
        return oracle(params, optimizer.init(params), rows)[2]

    return 1 + len(OF_ONE_SAMPLE.intersection(jax.eval_shape(asked_for)))


def trained(make, records: int, data, step_size, params, rows):
    """Training loss [records + 1] of one run, and its accuracy on the test rows."""
    train, test = data
    optimizer = make(step_size, len(rows))
    optimizer, oracle = fo.estimators.value_and_grads(loss, optimizer)

    def step(carry, chosen):
        params, state = carry
        batch = jax.tree.map(lambda x: x[chosen], train)
        _, grads, extra = oracle(params, state, batch)
        updates, state = optimizer.update(grads, state, params, **extra)
        return (optax.apply_updates(params, updates), state), None

    def chunk(carry, rows):
        carry, _ = jax.lax.scan(step, carry, rows)
        return carry, loss(carry[0], train)

    start, rows = (params, optimizer.init(params)), rows.reshape(records, -1, BATCH)
    (last, _), losses = jax.lax.scan(chunk, start, rows)
    return jnp.append(loss(params, train), losses), accuracy(last, test)


class Tuned(NamedTuple):
    """All runs of a method: losses [step sizes, seeds, records + 1], inf if diverged.

    Attributes:
      cost: gradients per update.
      gradients: computed at each record.
      losses: over all training rows.
      accuracies: on the test rows at the end, [step sizes, seeds].
    """

    cost: int
    gradients: np.ndarray
    losses: np.ndarray
    accuracies: np.ndarray

    @property
    def ends(self) -> np.ndarray:
        """The mean loss at the end for each step size."""
        return self.losses[:, :, -1].mean(axis=1)


def tuned(
    method: Method, data, step_sizes=STEP_SIZES, seeds: int = SEEDS, records=RECORDS
) -> Tuned:
    """One program for all step sizes and seeds."""
    cost = gradients_per_update(method.make, data[0])
    updates = method.gradients // cost
    params = jax.tree.map(lambda *x: jnp.stack(x), *map(first_params, range(seeds)))
    num_rows = len(data[0][1])
    rows = jnp.stack([batches(seed, updates, num_rows) for seed in range(seeds)])
    one: Any = functools.partial(trained, method.make, records, data)
    program = jax.jit(jax.vmap(jax.vmap(one, (None, 0, 0)), (0, None, None)))
    steps = jnp.asarray(step_sizes, jnp.float32)
    losses, accuracies = map(np.asarray, program(steps, params, rows))
    losses = np.where(np.isfinite(losses), losses, np.inf)
    gradients = cost * np.linspace(0, updates, records + 1)
    return Tuned(cost, gradients, losses, accuracies)


def within(step_sizes, ends, factor: float):
    """The step sizes around the best one whose loss is at most so many times its."""
    low = high = best = int(np.argmin(ends))
    while low > 0 and ends[low - 1] <= factor * ends[best]:
        low -= 1
    while high + 1 < len(ends) and ends[high + 1] <= factor * ends[best]:
        high += 1
    return step_sizes[low], step_sizes[high]


def draw(axes, results) -> None:
    """Loss against gradients at the best step size; the end against step sizes.

    Dashed: two gradients per update. Dotted: half as many gradients. Crosses at the
    height of the start: no better than that, or diverged.
    """
    for i, (name, found) in enumerate(results.items()):
        dashes = 2 if found.gradients[-1] < GRADIENTS else found.cost - 1
        style = {"color": plot.PALETTE[i % 7], "linestyle": plot.DASHES[dashes]}
        best = found.losses[np.argmin(found.ends)]
        axes[0].plot(found.gradients, best.mean(axis=0), label=name, **style)
        band = {"color": style["color"], "alpha": 0.12, "linewidth": 0}
        axes[0].fill_between(
            found.gradients, best.min(axis=0), best.max(axis=0), **band
        )
        first = found.losses[0, :, 0].mean()
        good = found.ends < first
        axes[1].plot(STEP_SIZES, np.where(good, found.ends, np.nan), "o", ms=3, **style)
        axes[1].plot(STEP_SIZES[~good], np.full(sum(~good), first), "x", **style)
    axes[0].set_title(f"best step sizes, mean and band of {SEEDS} seeds")
    axes[1].set_title("all step sizes, at the end")
    plot.finish_axes(axes[0], "gradients_computed", "training loss")
    plot.finish_axes(axes[1], "step size", "")
    axes[1].set_xscale("log", base=2)


def main(picture: str) -> None:
    """Draws both panels and prints one line per method."""
    data = digits()
    results = {}
    for name, method in METHODS.items():
        found = results[name] = tuned(method, data)
        best = int(np.argmin(found.ends))
        end, exact = found.losses[best, :, -1], found.accuracies[best].mean()
        span = [f"2^{np.log2(s):.0f}" for s in within(STEP_SIZES, found.ends, 10.0)]
        print(
            f"{name:20} 2^{np.log2(STEP_SIZES[best]):.0f} {end.mean():.6f} ± "
            f"{end.std(ddof=1):.6f} {exact:.3f} {' to '.join(span)}",
            flush=True,
        )
    figure, axes = plt.subplots(
        1, 2, figsize=(12, 5.5), layout="constrained", sharey=True
    )
    draw(axes, results)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=5)
    figure.savefig(picture, dpi=100)


if __name__ == "__main__":
    main(*sys.argv[1:])
