"""Loss and gradients against bits: methods with compressed messages, real data.

    python docs/messages.py FOLDER docs/messages.png

FOLDER holds the LIBSVM files. Logistic regression with the nonconvex penalty λ = 0.1,
n = 20 workers that hold rows of few labels each, full local gradients. Every worker may
send as many bits as `ROUNDS` rounds of gradient descent take; step sizes are tuned over
2^-8, ..., 2^7 times 1/L, by the loss at the end. One panel alone is, in float32,

    fedjax-opt compare --problem logistic --data FOLDER/phishing.svm.gz \
        --workers 20 --times equal --seeds 1 --bits 43520
"""

import itertools
import sys

import jax
import matplotlib.pyplot as plt
from matplotlib.ticker import EngFormatter

import fedjax_opt as fo
from fedjax_opt.experiment import plot, setting
from fedjax_opt.methods.registry import lookup

N, ROUNDS = 20, 20
FILES = ("phishing", "mushrooms", "a9a", "w8a")
LABELS = {
    "dcgd_gd:compressor=identity": "GD",
    "dcgd_gd": "DCGD, Rand-K",
    "ef14_gd": "EF14, Top-K",
    "ef21_gd": "EF21, Top-K",
    "ef_bv_gd": "EF-BV, Top-K",
    "diana_gd": "DIANA, Rand-K",
    "marina_gd": "MARINA, Rand-K",
    "dasha_gd": "DASHA, Rand-K",
}
DASHED = ("ef_bv_gd", "dasha_gd")
ROUNDING = 1e-13  # smaller losses are not drawn


def compared(data: str):
    """The comparison on one data set, and its number of features."""
    made = setting.logistic(num_workers=N, seed=0, data=data)
    d = made.description["features"]
    found = fo.experiment.compare(
        made.problem,
        methods=lookup(LABELS),
        num_workers=N,
        bits=ROUNDS * 64 * d,
        seeds=[0],
        step_sizes=made.step_sizes,
    )
    return found, d


def draw(axes, curves) -> None:
    """Loss above the least of all, and squared gradient norms, against bits."""
    least = min(columns["loss"].min() for columns in curves.values())
    colors = dict(zip(LABELS, itertools.cycle(plot.PALETTE)))
    for name, columns in curves.items():
        bits, loss = columns["bits_up"][0] / N, columns["loss"][0] - least
        style = {"color": colors[name], "linestyle": "--" if name in DASHED else "-"}
        above = loss > ROUNDING
        axes[0].semilogy(bits[above], loss[above], label=LABELS[name], **style)
        axes[1].semilogy(bits, columns["grad_norm_sq"][0], **style)
    axes[1].set_xlabel("bits per worker")
    for ax in axes:
        ax.xaxis.set_major_formatter(EngFormatter(sep=""))
        ax.locator_params(axis="x", nbins=5)
        ax.grid(alpha=0.3)


def main(folder: str, picture: str) -> None:
    """Draws one column per data set and prints where every method ends."""
    names = [*FILES, "breast_cancer"]
    figure, axes = plt.subplots(
        2, len(names), figsize=(4 * len(names), 7), layout="constrained"
    )
    for column, name in zip(axes.T, names, strict=True):
        found, d = compared(f"{folder}/{name}.svm.gz" if name in FILES else name)
        curves = found.curves()
        draw(column, curves)
        column[0].set_title(f"{name}, d = {d}, K = {max(1, round(0.05 * d))}")
        for row in found.summary.itertuples():
            norm = curves[row.method]["grad_norm_sq"][0, -1]
            print(f"{name:14} {LABELS[row.method]:15} {row.final_loss:.10f} {norm:.1e}")
        sys.stdout.flush()
    axes[0, 0].set_ylabel("loss − least loss seen")
    axes[1, 0].set_ylabel("squared gradient norm")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(LABELS))
    figure.savefig(picture, dpi=100)


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    main(*sys.argv[1:])
