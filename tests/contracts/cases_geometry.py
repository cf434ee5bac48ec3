"""Geometries, and their norms in NumPy: facts, no logic.

Singular values come from the eigenvalues of the Gram matrix, not from an SVD.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from fedjax_opt import geometry

JORDAN_ERROR = 0.318  # for singular values above 0.01 of the Frobenius norm


class Case(NamedTuple):
    """One geometry.

    Attributes:
      make: () -> Geometry or TreeGeometry.
      shape: of a leaf; a dict of shapes where a tree is measured.
      norm: NumPy reference.
      dual: NumPy reference.
      error: of the lmo, relative to its length 1.
    """

    make: Callable[[], Any]
    shape: Any
    norm: Callable[[Any], float]
    dual: Callable[[Any], float]
    error: float = 1e-8


def singular_values(x):
    gram = x @ x.T if x.shape[0] < x.shape[1] else x.T @ x
    return np.sqrt(np.maximum(np.linalg.eigvalsh(gram), 0))


def largest(x):
    return singular_values(x).max()


def nuclear(x):
    return singular_values(x).sum()


def euclidean(x):
    return np.sqrt((x**2).sum())


def largest_entry(x):
    return np.abs(x).max()


def sum_of_entries(x):
    return np.abs(x).sum()


def rows(x, order):
    return [entries(v, order) for v in x]


def entries(x, order):
    return (np.abs(x) ** order).sum() ** (1 / order)


def schatten(x, order):
    return (singular_values(x) ** order).sum() ** (1 / order)


def channels(x):
    """A convolution's kernel (height, width, in, out) with a row for each output."""
    return np.stack([x[..., i].ravel() for i in range(x.shape[-1])])


def parts(x):
    return euclidean(x["bias"]), largest(x["kernel"]), largest_entry(x["embedding"])


def dual_parts(g):
    return euclidean(g["bias"]), nuclear(g["kernel"]), sum_of_entries(g["embedding"])


def whole(x):
    return np.sqrt(sum((v**2).sum() for v in x.values()))


MODEL = {"bias": (6,), "kernel": (4, 6), "embedding": (2, 3, 5)}

CASES = {
    "l2": Case(geometry.l2, (5,), euclidean, euclidean),
    "l2 scalar": Case(geometry.l2, (), np.abs, np.abs),
    "l2 of three axes": Case(geometry.l2, (2, 3, 4), euclidean, euclidean),
    "linf": Case(geometry.linf, (3, 4), largest_entry, sum_of_entries),
    "svd": Case(lambda: geometry.spectral("svd"), (4, 6), largest, nuclear),
    "polar express": Case(geometry.spectral, (4, 6), largest, nuclear),
    "polar express, tall": Case(geometry.spectral, (6, 4), largest, nuclear),
    "cubic": Case(lambda: geometry.spectral("cubic"), (4, 6), largest, nuclear),
    "quintic": Case(lambda: geometry.spectral("quintic", 20), (4, 6), largest, nuclear),
    "jordan": Case(
        lambda: geometry.spectral("jordan"), (4, 6), largest, nuclear, JORDAN_ERROR
    ),
    "rms to rms, (in, out)": Case(
        lambda: geometry.rms_to_rms("svd"),
        (3, 12),
        lambda x: largest(x) / 2,
        lambda g: nuclear(g) * 2,
    ),
    "rms to rms, (out, in)": Case(
        lambda: geometry.rms_to_rms("svd", input_axis=1),
        (3, 12),
        lambda x: largest(x) * 2,
        lambda g: nuclear(g) / 2,
    ),
    "l1": Case(geometry.l1, (3, 4), sum_of_entries, largest_entry),
    "lp, p = 3": Case(
        lambda: geometry.lp(3),
        (2, 5),
        lambda x: entries(x, 3),
        lambda g: entries(g, 1.5),
    ),
    "lp, p = 1.25": Case(
        lambda: geometry.lp(1.25),
        (7,),
        lambda x: entries(x, 1.25),
        lambda g: entries(g, 5),
    ),
    "nuclear": Case(geometry.nuclear, (4, 6), nuclear, largest),
    "schatten, p = 3": Case(
        lambda: geometry.schatten(3),
        (6, 4),
        lambda x: schatten(x, 3),
        lambda g: schatten(g, 1.5),
    ),
    "rows by l2": Case(
        lambda: geometry.along(geometry.l2(), axis=1),
        (3, 4),
        lambda x: max(rows(x, 2)),
        lambda g: sum(rows(g, 2)),
    ),
    "columns by l2": Case(
        lambda: geometry.along(geometry.l2(), axis=0),
        (3, 4),
        lambda x: max(rows(x.T, 2)),
        lambda g: sum(rows(g.T, 2)),
    ),
    "rows by l1": Case(
        lambda: geometry.along(geometry.l1(), axis=-1),
        (3, 4),
        lambda x: max(rows(x, 1)),
        lambda g: sum(largest_entry(v) for v in g),
    ),
    "columns by l1": Case(
        lambda: geometry.along(geometry.l1(), axis=0),
        (3, 4),
        lambda x: max(rows(x.T, 1)),
        lambda g: sum(largest_entry(v) for v in g.T),
    ),
    "rms": Case(
        geometry.rms,
        (16,),
        lambda x: np.sqrt((x**2).mean()),
        lambda g: 4 * euclidean(g),
    ),
    "one to rms, (in, out)": Case(
        geometry.one_to_rms,
        (3, 4),
        lambda x: max(rows(x, 2)) / 2,
        lambda g: sum(rows(g, 2)) * 2,
    ),
    "one to rms, (out, in)": Case(
        lambda: geometry.one_to_rms(input_axis=1),
        (4, 3),
        lambda x: max(rows(x.T, 2)) / 2,
        lambda g: sum(rows(g.T, 2)) * 2,
    ),
    "rms to linf, (in, out)": Case(
        geometry.rms_to_linf,
        (4, 3),
        lambda x: max(rows(x.T, 2)) * 2,
        lambda g: sum(rows(g.T, 2)) / 2,
    ),
    "scaled sign, (in, out)": Case(
        geometry.scaled_sign,
        (3, 4),
        lambda x: largest_entry(x) * 3,
        lambda g: sum_of_entries(g) / 3,
    ),
    "convolution": Case(
        lambda: geometry.spectral_conv(
            "svd", spatial_axes=(0, 1), input_axis=2, output_axis=3
        ),
        (3, 2, 4, 5),
        lambda x: 6 * np.sqrt(4 / 5) * largest(channels(x)),
        lambda g: np.sqrt(5 / 4) / 6 * nuclear(channels(g)),
    ),
    "scaled": Case(
        lambda: geometry.scaled(geometry.linf(), 0.25),
        (3, 4),
        lambda x: largest_entry(x) / 4,
        lambda g: sum_of_entries(g) * 4,
    ),
    "root of the sum of squares over leaves": Case(
        lambda: geometry.by_label(
            {
                "unit": geometry.l2(),
                "hidden": geometry.spectral("svd"),
                "signs": geometry.linf(),
            },
            {"bias": "unit", "kernel": "hidden", "embedding": "signs"},
            radii={"hidden": 3.0},
            across=geometry.l2(),
        ),
        MODEL,
        lambda x: np.linalg.norm(parts(x) / np.array([1, 3, 1])),
        lambda g: np.linalg.norm(dual_parts(g) * np.array([1, 3, 1])),
    ),
    "sum over leaves": Case(
        lambda: geometry.per_leaf(geometry.linf(), across=geometry.l1()),
        MODEL,
        lambda x: sum(largest_entry(v) for v in x.values()),
        lambda g: max(sum_of_entries(v) for v in g.values()),
    ),
    "whole tree": Case(geometry.whole_tree_l2, MODEL, whole, whole),
    "per leaf, radius 3": Case(
        lambda: geometry.per_leaf(geometry.linf(), 3.0),
        MODEL,
        lambda x: max(largest_entry(v) for v in x.values()) / 3,
        lambda g: sum(sum_of_entries(v) for v in g.values()) * 3,
    ),
    "matrices": Case(
        lambda: geometry.matrices(geometry.spectral(), geometry.l2()),
        MODEL,
        lambda x: max(
            largest(x["kernel"]), euclidean(x["bias"]), euclidean(x["embedding"])
        ),
        lambda g: (
            nuclear(g["kernel"]) + euclidean(g["bias"]) + euclidean(g["embedding"])
        ),
    ),
    "by label with radii": Case(
        lambda: geometry.by_label(
            {"hidden": geometry.spectral("svd"), "signs": geometry.linf()},
            {"bias": "signs", "kernel": "hidden", "embedding": "signs"},
            radii={"hidden": 50.0, "signs": 0.25},
        ),
        MODEL,
        lambda x: max(
            largest(x["kernel"]) / 50,
            largest_entry(x["bias"]) * 4,
            largest_entry(x["embedding"]) * 4,
        ),
        lambda g: (
            nuclear(g["kernel"]) * 50
            + sum_of_entries(g["bias"]) / 4
            + sum_of_entries(g["embedding"]) / 4
        ),
    ),
}
