"""A step size schedule from the gradients of a run before. arXiv:2310.07831."""

import jax.numpy as jnp
import numpy as np
import optax

from .. import checks


def refined_linear_decay(
    grad_norms: np.ndarray,
    *,
    power: float = 2.0,
    window: int | None = None,
    num_steps: int | None = None,
) -> optax.Schedule:
    """Linear decay, bent by the lengths that the gradients had in a pilot run.

        ηₜ ∝ wₜ Σ_{p>t} wₚ,   wₜ = Gₜ^{−power},   t = 1, ..., T,   max ηₜ = 1

    Gₜ is the median of the lengths in a window around t, the first and the last
    repeated beyond the ends. Constant lengths give linear decay, (T−t)/(T−1); gradients
    that are long at first give a warm-up. The last step is 0. Multiply by the largest
    step: `lambda k: 0.1 * schedule(k)`.

    Args:
      grad_norms: [T], one per step of the pilot run, or at even distances; all > 0.
      power: 2 for l2 lengths and SGD, 1 for l1 lengths and Adam.
      window: of the median, in entries; None: T/10. 1 is no filter.
      num_steps: of the run to come, over which the T values are spread; None: T.

    Returns:
      A schedule: update count -> step size in [0, 1], computed here on the host.

    Raises:
      TypeError: if window or num_steps is not an integer.
      ValueError: if there are fewer than two lengths, or some are not positive.

    Reference: Defazio, Cutkosky, Mehta, Mishchenko (2023). arXiv:2310.07831.
    """
    norms = np.asarray(grad_norms, float)
    if norms.ndim != 1 or norms.size < 2:
        raise ValueError(
            f"refined_linear_decay needs a list of two lengths or more, got shape "
            f"{norms.shape}"
        )
    if not np.all((norms > 0) & np.isfinite(norms)):
        raise ValueError(
            "refined_linear_decay needs positive finite lengths; leave out the steps "
            "whose gradient is zero or not finite"
        )
    window = max(1, round(norms.size / 10)) if window is None else window
    num_steps = norms.size if num_steps is None else num_steps
    checks.positive_integer(window, "window")
    checks.positive_integer(num_steps, "num_steps")

    weights = _medians(norms / norms.max(), window) ** -power
    later = np.append(np.cumsum(weights[:0:-1])[::-1], 0)
    steps = weights * later / np.max(weights * later)
    times = np.linspace(0, num_steps - 1, norms.size)

    def schedule(count):
        return jnp.interp(count, times, steps)

    return schedule


def _medians(values: np.ndarray, window: int) -> np.ndarray:
    before = window // 2
    padded = np.pad(values, (before, window - 1 - before), mode="edge")
    return np.median(np.lib.stride_tricks.sliding_window_view(padded, window), axis=1)
