"""Which norm for which layer: labels by name, and Scion's norms for flax networks.

Kernels of flax are (in, out), those of attention (in, heads, size) and
(heads, size, out).
Reference: Pethick, Xie, Antonakopoulos, Zhu, Silveti-Falls, Cevher (2025).
arXiv:2502.07529.
"""

import fnmatch
from collections.abc import Callable, Mapping
from typing import Any

import jax
from jax.tree_util import GetAttrKey, keystr

from .. import linalg, static
from ..types import Geometry, Tree, TreeGeometry
from .flattened import Axes, flattened, spectral_conv
from .operators import rms, rms_to_rms, scaled_sign
from .product import by_label

Kernel = str | linalg.Coefficients
Radii = Mapping[str, Any] | None


def by_name(rules: Mapping[str, str]) -> Callable[[Tree], Tree]:
    """Labels for `by_label`, by the names of leaves.

    Args:
      rules: from the end of a leaf's path to its label: "kernel", "head/kernel",
        "Conv_*/kernel". Names between slashes are compared one by one; * is any text,
        upper and lower case differ. The first rule that fits decides.

    Returns:
      A function from a tree, as flax.linen or flax.nnx make them, to a tree of labels.

    Raises:
      ValueError: when used, for a leaf that no rule fits.
    """
    return static.bind(_labels, tuple(rules.items()))


def mlp(
    *, head: str, radii: Radii = None, kernel: Kernel = "polar_express"
) -> TreeGeometry:
    """Scion's norms for dense layers.

    "hidden" kernels: `rms_to_rms`; the "head": `scaled_sign`; "vectors" (biases and
    gains): `rms`.

    Args:
      head: name of the last layer, such as "Dense_2".
      radii: of these labels; 1 where left out.
      kernel: as for `spectral`.

    Raises:
      ValueError: as `by_name` and `by_label` do; when used, for a kernel that is not a
        matrix.
    """
    return by_label(_dense(kernel), by_name(_dense_rules(head)), radii=radii)


def convolutional(
    *,
    convolutions: str,
    spatial_axes: Axes,
    input_axis: int,
    output_axis: int,
    head: str,
    radii: Radii = None,
    kernel: Kernel = "polar_express",
) -> TreeGeometry:
    """Scion's norms for convolutions before dense layers.

    "convolutions": `spectral_conv`; the others as in `mlp`.

    Args:
      convolutions: names of these layers, such as "Conv_*".
      spatial_axes: of their kernels; (0, 1) for 3 × 3 in flax.
      input_axis: of their kernels; 2 for 3 × 3 in flax.
      output_axis: of their kernels; 3 for 3 × 3 in flax.
      head: as for `mlp`.
      radii: as for `mlp`.
      kernel: as for `mlp`.

    Raises:
      ValueError: as `mlp` does; when used, for a convolution that has other axes.
    """
    convolution = spectral_conv(
        kernel,
        spatial_axes=spatial_axes,
        input_axis=input_axis,
        output_axis=output_axis,
    )
    geometries = {"convolutions": convolution, **_dense(kernel)}
    rules = {f"{convolutions}/kernel": "convolutions", **_dense_rules(head)}
    return by_label(geometries, by_name(rules), radii=radii)


def transformer(
    *,
    attention: str,
    head: str | None = None,
    radii: Radii = None,
    kernel: Kernel = "polar_express",
) -> TreeGeometry:
    """Scion's norms for attention between dense layers.

    "queries" (also keys and values; heads and size are outputs) and "results" (heads
    and size are inputs): `rms_to_rms` of the flattened kernel; "embedding" tables
    [words, d]: `scaled_sign` of the last layer that they are, or are tied to; the
    others as in `mlp`.

    Args:
      attention: names of the layers with query, key, value and out, such as
        "MultiHeadDotProductAttention_*".
      head: as for `mlp`; None: the embedding is also the last layer.
      radii: as for `mlp`; 50 for hidden layers and 3000 for embedding and head are
        those of the paper for NanoGPT.
      kernel: as for `mlp`.

    Raises:
      ValueError: as `mlp` does; when used, for kernels of attention that have other
        axes.
    """
    matrix = rms_to_rms(kernel)
    geometries = {
        "queries": flattened(matrix, reduction_axes=0, output_axes=(1, 2)),
        "results": flattened(matrix, reduction_axes=(0, 1), output_axes=2),
        "embedding": scaled_sign(input_axis=1),
        **_dense(kernel),
    }
    rules = {
        f"{attention}/query/kernel": "queries",
        f"{attention}/key/kernel": "queries",
        f"{attention}/value/kernel": "queries",
        f"{attention}/out/kernel": "results",
        "embedding": "embedding",
        **_dense_rules(head),
    }
    return by_label(geometries, by_name(rules), radii=radii)


def _dense(kernel: Kernel) -> dict[str, Geometry]:
    return {"hidden": rms_to_rms(kernel), "head": scaled_sign(), "vectors": rms()}


def _dense_rules(head: str | None) -> dict[str, str]:
    last = {} if head is None else {f"{head}/kernel": "head"}
    return {**last, "kernel": "hidden", "bias": "vectors", "scale": "vectors"}


def _labels(rules: tuple, x: Tree) -> Tree:
    paths, structure = jax.tree_util.tree_flatten_with_path(x)
    return structure.unflatten(_label(rules, path) for path, _ in paths)


def _label(rules: tuple, path: tuple) -> str:
    if path and path[-1] == GetAttrKey("value"):  # what a variable of nnx holds
        path = path[:-1]
    names = [keystr((key,), simple=True) for key in path]
    for rule, label in rules:
        wanted = rule.split("/")
        ends = names[-len(wanted) :]
        if len(ends) == len(wanted) and all(map(fnmatch.fnmatchcase, ends, wanted)):
            return label
    raise ValueError(
        f"no rule for the leaf {'/'.join(names)}; there are {[r for r, _ in rules]}. "
        "Add one: by_label with by_name takes any."
    )
