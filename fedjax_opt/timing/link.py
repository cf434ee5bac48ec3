"""Links: how many seconds a message of so many bits takes, per direction."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from ..types import ComputeTime, Link
from .inputs import size


def linear(
    *, up_latency=0.0, up_bandwidth=np.inf, down_latency=0.0, down_bandwidth=np.inf
) -> Link:
    """Latency plus size over bandwidth, for each direction.

        seconds = latencyᵢ + bits / bandwidthᵢ

    Args:
      up_latency, down_latency: seconds, one number or [n].
      up_bandwidth, down_bandwidth: bits per second, one number or [n]; inf is free.
    """
    for name, value in (("up", up_bandwidth), ("down", down_bandwidth)):
        if not np.all(np.asarray(value) > 0):
            raise ValueError(f"{name}_bandwidth must be positive; use inf for free")
    for name, value in (("up", up_latency), ("down", down_latency)):
        if not np.all(np.asarray(value) >= 0):
            raise ValueError(f"{name}_latency must be zero or positive seconds")
    return Link(
        up=Partial(_seconds, *_arrays(up_latency, up_bandwidth)),
        down=Partial(_seconds, *_arrays(down_latency, down_bandwidth)),
    )


def with_link(
    compute_time: ComputeTime, link: Link, *, bits_up, bits_down, first_bits_up=None
) -> ComputeTime:
    """A cluster whose jobs include their messages.

    A job begins with the download of its starting point and ends with the upload of
    its message, so its duration is  down(bits_down) + compute + up(bits_up).

    Args:
      compute_time: of the computations alone.
      link: of as many workers.
      bits_up, bits_down: lengths of a message.
      first_bits_up: of the message of every worker's first job, where that is another.
        The mean and the distribution are those of the later jobs.

    Raises:
      ValueError: if the link describes another number of workers.
    """
    workers = np.arange(size(compute_time))
    for numbers in jax.tree.leaves(link):
        if np.ndim(numbers) and len(numbers) != workers.size:
            raise ValueError(
                f"the link describes {len(numbers)} workers, the cluster "
                f"{workers.size}; give one number, or one per worker"
            )

    def seconds(bits):
        both = link.down(workers, bits_down) + link.up(workers, bits)
        return np.asarray(both, np.float64)

    messages, mean, cdf = seconds(bits_up), compute_time.mean, compute_time.cdf
    sample, least = Partial(_with_messages, compute_time.sample, messages), messages
    if first_bits_up is not None:
        first = seconds(first_bits_up)
        sample = Partial(_with_first_messages, compute_time.sample, first, messages)
        least = np.minimum(first, messages)
    return ComputeTime(
        sample,
        compute_time.lower_bound + least,
        None if mean is None else mean + messages,
        None if cdf is None else Partial(_with_messages_cdf, cdf, messages),
        steady=compute_time.steady,
    )


def _arrays(latency, bandwidth):
    return np.asarray(latency, np.float64), np.asarray(bandwidth, np.float64)


def _seconds(latency, bandwidth, worker, bits):
    latency, bandwidth = (
        a[worker] if np.ndim(a) else a + np.zeros(np.shape(worker))
        for a in (latency, bandwidth)
    )
    return latency + bits / bandwidth


def _with_messages(sample, messages, key, worker, job, now, work):
    return sample(key, worker, job, now, work) + messages[worker]


def _with_first_messages(sample, first, messages, key, worker, job, now, work):
    seconds = jnp.where(job == 0, first[worker], messages[worker])
    return sample(key, worker, job, now, work) + seconds


def _with_messages_cdf(cdf, messages, seconds):
    seconds = jnp.asarray(seconds, float)
    possible = jnp.isfinite(messages) & jnp.isfinite(seconds) & (seconds >= messages)
    total = jnp.where(possible, seconds, 0)
    sent = jnp.where(possible, messages, 0)
    # The longest computation whose rounded sum with the messages is not above `total`:
    # the difference and half a spacing, or little less.
    compute = total - sent + (jnp.nextafter(total, jnp.inf) - total) / 2
    for _ in range(2):
        less = jnp.nextafter(compute, -jnp.inf)
        compute = jnp.where(compute + sent <= total, compute, less)
    at_infinity = jnp.where(seconds == jnp.inf, 1.0, 0.0)
    return jnp.where(possible, cdf(compute), at_infinity)
