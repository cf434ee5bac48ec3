"""Perm-K: every worker has its own part of the array. arXiv:2110.03300."""

from collections.abc import Sequence
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from .. import checks
from ..keys import Keys, required
from ..static import memoised
from ..types import Bits, Certificate, Compressor, Joint
from .payload import wire_bits

Variant = Literal["permuted", "fixed"]


@memoised
def perm_k(num_workers: int, *, variant: Variant = "permuted") -> Compressor:
    """The workers share the entries out at random: what one sends, no other does.

        Cᵢ(x) = n Σ_{j ∈ Sᵢ} xⱼ eⱼ,   S₁, ..., Sₙ a random partition of the d entries
        into parts of ⌊d/n⌋ or ⌈d/n⌉,   ω = n − 1,   A = B = 1   (d >= n)

    Each worker has each entry with probability 1/n. Where all workers have the same
    vector, the mean of their messages is that vector: the error is the disagreement,
    E|(1/n) Σ Cᵢ(aᵢ) − ā|² = (1/n) Σ |aᵢ|² − |ā|².

    With more workers than entries, n = qd + r, each has one: Cᵢ(x) = d xⱼ eⱼ with
    ω = d − 1. Every entry goes to q workers, and r random ones to one more. With
    π = (r(q + 1)q + (d − r)q(q − 1))/(n(n − 1)), the probability that two workers have
    the same, A = d(1 − π)/n and B = 1 − dπ; for r = 0 both are (d − 1)/(n − 1). These,
    too, hold with equality. Where r > 0, equal vectors are not averaged exactly.

    Args:
      num_workers: n.
      variant: "permuted": all entries are permuted. "fixed": the parts are contiguous
        and always the same, and their owners are permuted, which reads the memory in
        one piece and promises the same; with n > d entries are permuted all the same.

    Returns:
      A Compressor; both ends draw the partition from the shared key, so that positions
      are not sent. Its message is ⌈d/n⌉ numbers (one where n > d), before the scaling;
      where n does not divide d, some workers fill up with a zero, which counts as sent.

    Raises:
      ValueError: when encoding, if there are not n workers.

    Reference: Szlendak, Tyurin, Richtárik (2021). arXiv:2110.03300; the cases n ∤ d and
      d ∤ n are derived.
    """
    checks.positive_integer(num_workers, "num_workers")
    return _in_groups((0,) * num_workers, variant, f"perm_k({num_workers})")


@memoised
def group_perm_k(groups: Sequence[int], *, variant: Variant = "permuted") -> Compressor:
    """Perm-K in every group of workers, independently of the other groups.

        ω = maxᵧ nᵧ − 1,   A = maxᵧ Aᵧ nᵧ/n,   B = 1/Σᵧ 1/Bᵧ   (nᵧ <= d; else d for nᵧ)

    with nᵧ workers in group γ, and Aᵧ, Bᵧ those of Perm-K with nᵧ workers: for G groups
    that are equally large, A = B = 1/G. (1/n) Σ Cᵢ(aᵢ) has no error where the workers
    agree within the groups, for example on data with the same labels.

    Args:
      groups: [n], the group of each worker: 0, 1, ..., G − 1.
      variant: as of `perm_k`.

    Returns:
      A Compressor; both ends draw. Its message is ⌈d/nᵧ⌉ numbers for the smallest nᵧ:
      workers of larger groups fill up with zeros, which count as sent.

    Raises:
      ValueError: if a group between the others has no worker; when encoding, if there
        are not n workers.

    Reference: Szlendak, Tyurin, Richtárik (2021). arXiv:2110.03300; A and B of groups
      are derived: with weights wᵧ = nᵧ/n the errors add up to
      Σ wᵧ² (Aᵧ meanᵧ|aᵢ|² − Bᵧ|āᵧ|²), and |Σ wᵧ āᵧ|² <= (Σ 1/Bᵧ) Σ Bᵧ wᵧ² |āᵧ|².
    """
    groups = tuple(groups)
    if not groups or set(groups) != set(range(len(set(groups)))):
        raise ValueError(
            f"group_perm_k needs the group of each worker, 0, 1, ..., got {groups}"
        )
    return _in_groups(groups, variant, f"group_perm_k({groups})")


def _in_groups(groups: tuple[int, ...], variant: Variant, label: str) -> Compressor:
    if variant not in ("permuted", "fixed"):
        raise ValueError(f"variant must be 'permuted' or 'fixed', got {variant!r}")
    n, of_worker = len(groups), np.array(groups)
    sizes = np.bincount(of_worker)

    def part(keys, d):
        """[⌈d/n⌉] entries of this worker, d where there is none; how many parts."""
        _check_workers(keys, n, label)
        order_key, owner_key = jax.random.split(required(keys.shared))
        group = jnp.asarray(of_worker)[keys.worker]
        owners = jax.random.permutation(owner_key, n)
        before = (of_worker == group) & (owners < owners[keys.worker])
        parts = jnp.asarray(np.minimum(sizes, d))[group]
        index = jnp.sum(before) % d
        each, larger = d // parts, d % parts
        offset = jnp.arange(width(d))
        entries = index * each + jnp.minimum(index, larger) + offset
        if variant == "permuted" or d < np.max(sizes):
            order_keys = jax.random.split(order_key, sizes.size)
            orders = jax.vmap(lambda key: jax.random.permutation(key, d))(order_keys)
            entries = orders[group, entries]
        return jnp.where(offset < each + (index < larger), entries, d), parts

    def width(d):
        return -(-d // int(np.min(sizes)))

    def encode(keys, x):
        entries, _ = part(keys, x.size)
        return x.ravel().at[entries].get(mode="fill", fill_value=0)

    def decode(keys, message, like):
        entries, parts = part(keys, like.size)
        at_least_float32 = jnp.promote_types(like.dtype, jnp.float32)
        values = (message.astype(at_least_float32) * parts).astype(like.dtype)
        flat = jnp.zeros(like.size, like.dtype)
        return flat.at[entries].set(values, mode="drop").reshape(like.shape)

    def bits(keys, message, like):
        length = wire_bits(message)
        return Bits(length, length, length)

    def certificate(d):
        return Certificate(omega=min(int(np.max(sizes)), d) - 1.0)

    def joint(d, num_workers):
        if num_workers != n:
            raise ValueError(f"{label} is for {n} workers, there are {num_workers}")
        each = [_joint(d, int(size)) for size in sizes]
        a = max(size / n * one.a for size, one in zip(sizes, each, strict=True))
        inverse = sum(1 / one.b if one.b else np.inf for one in each)
        return Joint(float(a), float(1 / inverse))

    return Compressor(encode, decode, bits, certificate, label, joint=joint)


def _joint(d: int, n: int) -> Joint:
    """A and B of Perm-K, in integers as long as possible."""
    if d >= n:
        return Joint(1.0, 1.0)
    q, r = divmod(n, d)
    pairs = n * (n - 1)
    same = r * (q + 1) * q + (d - r) * q * (q - 1)
    return Joint(d * (pairs - same) / (n * pairs), (pairs - d * same) / pairs)


def _check_workers(keys: Keys, n: int, label: str) -> None:
    if keys.num_workers != n:
        raise ValueError(
            f"{label} is for {n} workers, and one of {keys.num_workers} uses it. Build "
            f"it for {keys.num_workers}: every entry must belong to somebody."
        )
