"""Steps to a point that is given, in place of a gradient. arXiv:2206.10452."""

from typing import Any

import optax

from .. import checks, tree


def towards(mixing: Any) -> optax.GradientTransformation:
    """Goes part of the way to the point that came in place of a gradient.

        x ← (1 − η) x + η y

    Goes last in a chain: what comes out is added to the parameters.

    Args:
      mixing: η in (0, 1]; may be traced.

    Returns:
      A transformation whose `update(point, state, params)` needs x.

    Raises:
      ValueError: if mixing is a Python number out of range.
    """
    checks.in_unit_interval(mixing, "mixing", zero=False)

    def update(updates, state, params=None):
        if params is None:
            raise TypeError(
                "towards needs the present point: update(point, state, params)"
            )
        return tree.scale(mixing, tree.sub(updates, params)), state

    return optax.GradientTransformation(optax.init_empty_state, update)
