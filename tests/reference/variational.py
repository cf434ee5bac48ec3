"""Iterates of methods for variational inequalities: one loop per method, NumPy float64.

Written from the formulas, without the library. Find z with F(z) = 0, F = (1/n) Σᵢ Fᵢ
monotone. Every function returns z⁰, ..., z^K stacked along a new first axis, and takes

* `operator(worker, z)`, which is Fᵢ(z);
* `compress(worker, round, vector)`, `compress_down(round, vector)`, `coin(round)`.

Round k uses the draws k and makes zᵏ⁺¹. The point w starts at z⁰.
"""

import numpy as np


def masha1(
    operator,
    compress,
    compress_down,
    num_workers,
    z0,
    num_updates,
    step_size,
    *,
    mixing,
    coin,
):
    """MASHA1, unbiased messages, τ = mixing. arXiv:2110.03313.

    z½ = τ z + (1−τ) w − γ F(w),   mᵢ = Qᵢ(Fᵢ(z½) − Fᵢ(w))
    z ← z½ − γ Q_s((1/n) Σᵢ mᵢ),   then w ← z, the new one, if coin(k)
    """
    z = np.array(z0, dtype=float)
    iterates = [z]
    w = z
    at_w = [operator(i, w) for i in range(num_workers)]
    for k in range(num_updates):
        half = mixing * z + (1 - mixing) * w - step_size * sum(at_w) / num_workers
        messages = [
            compress(i, k, operator(i, half) - at_w[i]) for i in range(num_workers)
        ]
        z = half - step_size * compress_down(k, sum(messages) / num_workers)
        if coin(k):
            w = z
            at_w = [operator(i, w) for i in range(num_workers)]
        iterates.append(z)
    return np.stack(iterates)


def masha2(
    operator,
    compress,
    compress_down,
    num_workers,
    z0,
    num_updates,
    step_size,
    *,
    mixing,
    coin,
):
    """MASHA2, contractive messages with error feedback both ways. arXiv:2110.03313.

    z½ = τ z + (1−τ) w − γ F(w),   pᵢ = eᵢ + γ (Fᵢ(z½) − Fᵢ(w))
    mᵢ = Cᵢ(pᵢ),   eᵢ ← pᵢ − mᵢ
    p = e + (1/n) Σᵢ mᵢ,   m = C_s(p),   e ← p − m
    z ← z½ − m,   then w ← z, the new one, if coin(k)
    """
    z = np.array(z0, dtype=float)
    iterates = [z]
    w = z
    at_w = [operator(i, w) for i in range(num_workers)]
    e = [np.zeros_like(z) for _ in range(num_workers)]
    e_server = np.zeros_like(z)
    for k in range(num_updates):
        half = mixing * z + (1 - mixing) * w - step_size * sum(at_w) / num_workers
        p_server = e_server
        for i in range(num_workers):
            p = e[i] + step_size * (operator(i, half) - at_w[i])
            message = compress(i, k, p)
            e[i] = p - message
            p_server = p_server + message / num_workers
        down = compress_down(k, p_server)
        e_server = p_server - down
        z = half - down
        if coin(k):
            w = z
            at_w = [operator(i, w) for i in range(num_workers)]
        iterates.append(z)
    return np.stack(iterates)
