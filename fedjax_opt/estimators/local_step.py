"""The point after a local step, in place of a gradient. arXiv:2206.10452."""

from typing import Any

import optax

from .. import checks, tree


def local_step(step_size: Any) -> optax.GradientTransformationExtraArgs:
    """Where gradient descent would go: what workers compress who compress iterates.

        T(x) = x − γ∇f(x)

    It is a point and not a gradient: the server's optimizer has to be
    `transforms.towards`.

    Args:
      step_size: γ > 0; may be traced.

    Returns:
      An estimator whose `update(grads, state, params)` needs x, where the gradients
      were taken.

    Raises:
      ValueError: if step_size is a Python number and not positive.

    Reference: the map of GDCI. Shulgin, Richtárik (2022). arXiv:2206.10452.
    """
    checks.positive(step_size, "step_size")

    def update(updates, state, params=None, **extra):
        del extra
        if params is None:
            raise TypeError(
                "local_step needs the point of the gradients: update(grads, state, "
                "params)"
            )
        return tree.add_scaled(params, -step_size, updates), state

    return optax.GradientTransformationExtraArgs(optax.init_empty_state, update)
