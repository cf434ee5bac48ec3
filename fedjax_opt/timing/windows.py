"""Workers that are down in windows of time, whatever their law is when they are up."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from ..types import ComputeTime
from .durations import SLACK
from .inputs import of_workers, size, windows


def availability(compute_time: ComputeTime, down, *, keep: bool) -> ComputeTime:
    """The same cluster, in which worker i is down in some windows of time.

    With `keep`, a job pauses and goes on when the worker is back. Without, it is lost
    and starts over with the same draw when the worker is back, as often as it takes. A
    job that ends when a window starts is done. A law that depends on the time, such as
    `power`, is asked for a duration when a job starts or starts over; to let it pause,
    say when it is `down` to `power` itself. There is no cdf. The mean is that of the
    long run: inf for whom the last window does not end.

    Args:
      compute_time: the law while up.
      down: for each worker a list of windows (start, end) in seconds, in order, end not
        included; or an array [n, W, 2] filled up with inf. The last may end at inf.
      keep: is interrupted work kept?
    """
    down = windows("down", down, size(compute_time))
    for_ever = np.isinf(down[:, :, 1]) & np.isfinite(down[:, :, 0])
    never = (for_ever & (down[:, :, 0] == 0)).any(axis=1)
    mean = compute_time.mean
    return ComputeTime(
        Partial(_kept if keep else _lost, compute_time.sample, down),
        np.where(never, np.inf, compute_time.lower_bound),
        None if mean is None else np.where(for_ever.any(axis=1), np.inf, mean),
    )


def random_windows(num_workers: int, *, up, down, until, seed: int) -> np.ndarray:
    """Windows for `availability`: up and down for exponential times, up at first.

    Those of a worker depend on `seed` and on its index, not on the number of workers.

    Args:
      num_workers: n.
      up: mean seconds up, a number or [n], positive.
      down: mean seconds down, a number or [n].
      until: seconds after which no window starts.
      seed: of the draws.

    Returns:
      [n, W, 2] pairs (start, end), filled up with inf; W is a power of two.
    """
    up, down = of_workers(num_workers, up=up, down=down)
    if not (up > 0).all():
        raise ValueError("up must be positive seconds; or name no windows at all")
    if not 0 < until < np.inf:
        raise ValueError(f"until must be positive and finite seconds, got {until}")
    rows = [
        _alternating(
            np.random.default_rng([seed, worker]), up[worker], down[worker], until
        )
        for worker in range(num_workers)
    ]
    longest = max(len(row) for row in rows)
    filled = np.full((num_workers, 1 << max(longest - 1, 0).bit_length(), 2), np.inf)
    for worker, row in enumerate(rows):
        filled[worker, : len(row)] = row
    return filled


def _alternating(generator, up, down, until):
    """The windows of one worker, [W, 2]."""
    found, now = [], 0.0
    while now < until and np.isfinite(up) and down > 0:
        start = now + generator.exponential(up)
        now = start + generator.exponential(down) if np.isfinite(down) else np.inf
        if start < until and start < now:
            found.append((start, now))
    return np.reshape(found, (-1, 2))


def _kept(sample, down, key, worker, job, now, work):
    seconds = sample(key, worker, job, now, work)
    start, end = down[worker, :, 0], down[worker, :, 1]
    ahead = jnp.isfinite(start) & (end > now)
    begin = jnp.where(ahead, jnp.maximum(start, now), 0)
    length = jnp.where(ahead, end - begin, 0)
    earlier = jnp.cumsum(jnp.concatenate([jnp.zeros_like(length[:1]), length[:-1]]))
    up_before = begin - jnp.where(ahead, now, 0) - earlier
    room = SLACK * begin
    interrupts = ahead & ((up_before + room < seconds) | (start <= now))
    return seconds + jnp.sum(jnp.where(interrupts, length, 0))


def _lost(sample, down, key, worker, job, now, work):
    happens = jnp.isfinite(now)
    now = jnp.where(happens, now, 0)
    start, end = down[worker, :, 0], down[worker, :, 1]
    is_up = ~jnp.any((start <= now) & (now < end))
    after_now = jnp.min(jnp.where(start >= now, start, jnp.inf), initial=jnp.inf)
    back = (end > now) & jnp.isfinite(end)

    # A job starts now or when the worker is back, and must end before the next window.
    begins = jnp.concatenate([now[None], jnp.where(back, end, 0)])
    possible = jnp.concatenate([is_up[None], back])
    deadlines = jnp.concatenate([after_now[None], start[1:], jnp.full(1, jnp.inf)])
    deadlines = deadlines[: len(begins)]
    seconds = jax.vmap(lambda begin: sample(key, worker, job, begin, work))(begins)
    done = possible & (begins + seconds <= deadlines * (1 + SLACK))
    attempt = jnp.argmax(done)
    total = (begins[attempt] - now) + seconds[attempt]
    return jnp.where(happens & done[attempt], total, jnp.inf)
