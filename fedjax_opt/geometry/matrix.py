"""The check of norms that only matrices have."""


def require_matrix(shape: tuple) -> None:
    """Refuses a leaf that has not two axes.

    Raises:
      ValueError: naming the shape and the cures.
    """
    if len(shape) != 2:
        raise ValueError(
            f"this norm needs a matrix, got a leaf of shape {shape}. Wrap it: "
            "flattened(...), or give such leaves another one: matrices, by_label."
        )
