"""What (L₀, L₁)-smoothness and clipping are for: far starts and heavy tails.

    python docs/smoothness.py docs/smoothness.png

Left and middle: updates until f − f* <= 1e-3 for starts at the distance R, without
noise, on Σ xᵢ⁴ and Σ (cosh xᵢ − 1) of ten numbers. Gradient descent has the best of 16
constant steps for every start; the others know L₀ and L₁, or f*, but not R. Right:
½|x|² with Pareto noise of index 1.1, whose variance is infinite, on gradients and on
Hessians: median of 64 runs, and the band of nine in ten.
"""

import functools
import sys

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax
from matplotlib.ticker import StrMethodFormatter

import fedjax_opt as fo
from fedjax_opt.experiment import plot

SIZE, GAP, MOST = 10, 1e-3, 20_000
STARTS = 2.0 ** np.arange(0, 6.5, 0.5)
CONSTANT_STEPS = 2.0 ** np.arange(-1, 7, 0.5)  # over the largest curvature on the way
DIRECTION = np.arange(1, SIZE + 1) / np.linalg.norm(np.arange(1, SIZE + 1))
ETA = 0.28  # < ν/2, ν = exp(−ν)

# f, and (L₀, L₁): 12x² <= 12 + 3 · 4|x|³ and cosh x <= 1 + |sinh x|.
PROBLEMS = {
    "Σ xᵢ⁴": (lambda x: jnp.sum(x**4), 12.0, 3.0),
    "Σ (cosh xᵢ − 1)": (lambda x: jnp.sum(jnp.cosh(x) - 1), 1.0, 1.0),
}


def deterministic(l0, l1):
    """The methods that are told no distance."""
    return {
        "(L₀, L₁)-GD": optax.chain(
            fo.transforms.scale_by_generalized_smoothness(l0, l1), optax.sgd(ETA)
        ),
        "clipped GD": optax.chain(fo.transforms.clip(l0 / l1), optax.sgd(ETA / l0)),
        "Polyak": optax.chain(fo.transforms.scale_by_polyak_step(0.0), optax.sgd(1.0)),
    }


def updates_needed(f, optimizer, start, most: int = MOST):
    """Updates until f <= GAP; `most` if it takes more, or diverges."""
    optimizer, oracle = fo.estimators.value_and_grads(f, optimizer)

    def going(carry):
        x, _, count = carry
        return (count < most) & ~(f(x) <= GAP)

    def update(carry):
        x, state, count = carry
        _, grads, extra = oracle(x, state)
        updates, state = optimizer.update(grads, state, x, **extra)
        return optax.apply_updates(x, updates), state, count + 1

    return jax.lax.while_loop(going, update, (start, optimizer.init(start), 0))[2]


def far_starts(name: str, radii=STARTS, steps=CONSTANT_STEPS, most: int = MOST) -> dict:
    """Updates [starts] of every method; infinite where they are too many."""
    f, l0, l1 = PROBLEMS[name]
    starts = jnp.asarray(np.outer(radii, DIRECTION))

    def with_step(step_size, start):
        curvature = jnp.max(jnp.diag(jax.hessian(f)(start)))
        return updates_needed(f, optax.sgd(step_size / curvature), start, most)

    each = jax.jit(jax.vmap(jax.vmap(with_step, (0, None)), (None, 0)))
    counts = {"GD, best constant step": each(jnp.asarray(steps), starts).min(axis=1)}
    for label, optimizer in deterministic(l0, l1).items():
        one = functools.partial(updates_needed, f, optimizer, most=most)
        counts[label] = jax.jit(jax.vmap(one))(starts)
    return {k: np.where(v < most, v, np.inf) for k, v in counts.items()}


# ---------------------------------------------------------------- heavy tails

STEP, BETA, NOISE = 0.02, 0.98, 0.1


def stochastic(key):
    """All but SGD make steps of at most 0.02."""
    unit = fo.transforms.lmo_step(fo.geometry.whole_tree_l2(), STEP)
    hessian = fo.transforms.clipped_hessian_momentum(BETA, STEP, 5.0, 2.0, key)
    return {
        "SGD": optax.sgd(STEP),
        "clipped SGD": optax.chain(fo.transforms.clip(1.0), optax.sgd(STEP)),
        "NSGD-M": optax.chain(fo.transforms.momentum(BETA, from_first=True), unit),
        "clipped NSGDHess": optax.chain(hessian, unit),
    }


def noisy(x, sample):
    """½|x|², noise on its gradient and on the diagonal of its Hessian."""
    return jnp.sum((1 + sample[1]) * x**2) / 2 + sample[0] @ x


def distances(optimizer, samples):
    """|xᵏ| in each run, [runs, updates], for samples [runs, updates, 2, SIZE]."""
    optimizer, oracle = fo.estimators.value_and_grads(noisy, optimizer)

    def step(carry, sample):
        x, state = carry
        _, grads, extra = oracle(x, state, sample)
        updates, state = optimizer.update(grads, state, x, **extra)
        x = optax.apply_updates(x, updates)
        return (x, state), jnp.linalg.norm(x)

    start = jnp.ones(SIZE)
    carry = start, optimizer.init(start)
    one = jax.vmap(lambda samples: jax.lax.scan(step, carry, samples)[1])
    return np.asarray(jax.jit(one)(samples))


def pareto(runs: int, updates: int):
    """Two-sided noise whose moments of order 1.1 and more are infinite."""
    rng = np.random.default_rng(0)
    shape = (runs, updates, 2, SIZE)
    return NOISE * rng.choice([-1, 1], shape) * rng.pareto(1.1, shape)


def draw_far_starts(ax, name: str) -> None:
    """Counts against distances; a cross at the top where there are too many."""
    counts = far_starts(name)
    for color, label in zip(plot.PALETTE, counts, strict=False):
        count, many = counts[label], np.isinf(counts[label])
        ax.plot(STARTS, np.where(many, np.nan, count), "o-", color=color, label=label)
        ax.plot(STARTS[many], np.full(sum(many), MOST), "x", color=color)
    for i in range(0, len(STARTS), 4):
        numbers = " ".join(f"{c[i]:7g}" for c in counts.values())
        print(f"{name:18} R = {STARTS[i]:2g}: {numbers}")
    plot.finish_axes(ax, "initial distance R", f"updates until f − f* ≤ {GAP:g}")
    ax.plot([], [], "x", color="grey", label=f"more than {MOST}")
    ax.set_xscale("log", base=2)
    ax.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    ax.set_title(name)


def draw_heavy_tails(ax, runs: int = 64, updates: int = 1000) -> None:
    """Distances against updates, and what of them is left in the second half."""
    samples = pareto(runs, updates)
    methods = stochastic(jax.random.key(0))
    for color, (label, optimizer) in zip(
        plot.PALETTE[4:0:-1], methods.items(), strict=True
    ):
        found = distances(optimizer, samples)
        low, median, high = np.quantile(found, [0.05, 0.5, 0.95], axis=0)
        across = np.arange(1, updates + 1)
        ax.plot(across, median, color=color, label=label)
        ax.fill_between(across, low, high, color=color, alpha=0.18, linewidth=0)
        late = found[:, updates // 2 :]
        ends = [np.median(late), *np.quantile(late.max(axis=1), [0.5, 0.95])]
        print(f"{label:18}", " ".join(f"{end:7.3f}" for end in ends))
    plot.finish_axes(ax, "updates", "distance to the minimiser")
    ax.set_title("½|x|², Pareto noise of index 1.1")


def main(picture: str) -> None:
    """Draws the three panels and prints their numbers."""
    figure, axes = plt.subplots(1, 3, figsize=(14, 5), layout="constrained")
    axes[1].sharey(axes[0])
    for ax, name in zip(axes, PROBLEMS, strict=False):
        draw_far_starts(ax, name)
    axes[1].set_ylabel("")
    draw_heavy_tails(axes[2])
    for ax in (axes[0], axes[2]):
        ax.legend(loc="lower left", bbox_to_anchor=(0, 1.08), ncols=2, frameon=False)
    figure.savefig(picture, dpi=100)


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    main(*sys.argv[1:])
