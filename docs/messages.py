"""Loss against bits: methods with compressed messages on LIBSVM data, one picture.

    python docs/messages.py FOLDER docs/messages.png phishing mushrooms

Logistic regression with the nonconvex penalty λ = 0.1, n = 20 workers that hold rows
of few labels each, full local gradients. All methods may send as many bits, their step
sizes are tuned over the same grid, 2^-8, ..., 2^7 times 1/L.
"""

import functools
import pathlib
import sys

import jax
import matplotlib.pyplot as plt
import numpy as np

import fedjax_opt as fo
from fedjax_opt import compressors, methods, problems

N, ROUNDS, PENALTY = 20, 40, 0.1  # rounds of gradient descent: the budget of bits
STEPS = 2.0 ** np.arange(-8, 8)


def recipes(k: int, d: int) -> dict:
    """What is compared: recipe and options; one number in d/k is sent."""
    top, rand = compressors.top_k(k), compressors.rand_k(k)
    return {
        "GD": (methods.dcgd_gd, {"compressor": compressors.identity()}),
        "DCGD, Rand-K": (methods.dcgd_gd, {"compressor": rand}),
        "EF14, Top-K": (methods.ef14_gd, {"compressor": top}),
        "EF21, Top-K": (methods.ef21_gd, {"compressor": top}),
        "EF-BV, Top-K": (methods.ef_bv_gd, {"compressor": top}),
        "DIANA, Rand-K": (methods.diana_gd, {"compressor": rand}),
        "MARINA, Rand-K": (
            methods.marina_gd,
            {"compressor": rand, "probability": k / d},
        ),
        "DASHA, Rand-K": (methods.dasha_gd, {"compressor": rand}),
    }


def curve(problem, recipe, options, d: int):
    """Bits per worker and squared gradient norm of the best step size."""
    budget = ROUNDS * 32 * d
    short = fo.run(
        recipe(step_size=0.0, **options),
        problem,
        num_workers=N,
        key=jax.random.key(0),
        num_updates=200,
        record_every=200,
    )
    per_round = short.columns["bits_up"][-1] / N / 200
    updates = max(int(budget / per_round), ROUNDS)
    found = fo.sweep(
        functools.partial(recipe, **options),
        problem,
        grid={"step_size": STEPS / problem.constants["smoothness"]},
        seeds=[0],
        num_workers=N,
        num_updates=updates,
        record_every=max(updates // 60, 1),
        metric="grad_norm_sq",
    )
    columns = found.best_columns
    return columns["bits_up"][0] / N, columns["grad_norm_sq"][0]


def main(folder: str, picture: str, *names: str) -> None:
    """Draws one panel per data set and prints where every method ends."""
    figure, axes = plt.subplots(
        1, len(names), figsize=(5 * len(names), 4.4), layout="constrained"
    )
    for ax, name in zip(np.atleast_1d(axes), names, strict=True):
        data = problems.datasets.load(pathlib.Path(folder) / f"{name}.svm.gz")
        split = problems.split.by_label(data.labels, N)
        problem = problems.logistic_regression(
            data.features, data.labels, N, split=split, nonconvex=PENALTY
        )
        d = data.features.shape[1]
        k = max(1, d // 20)
        for label, (recipe, options) in recipes(k, d).items():
            bits, norms = curve(problem, recipe, options, d)
            ax.semilogy(bits, norms, label=label)
            print(f"{name:10} {label:16} {norms[-1]:.2e}", flush=True)
        ax.set(title=f"{name}, d = {d}, K = {k}", xlabel="bits per worker")
        ax.set_xlim(0, ROUNDS * 32 * d)
        ax.grid(alpha=0.3)
    np.atleast_1d(axes)[0].set_ylabel("squared gradient norm")
    np.atleast_1d(axes)[-1].legend(fontsize=8)
    figure.savefig(picture, dpi=120)


if __name__ == "__main__":
    main(*sys.argv[1:])
