"""Estimators that remember gradients of a finite sum, one worker, update by update."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fedjax_opt import theory
from fedjax_opt.compressors import rand_k
from fedjax_opt.estimators import l_svrg, of_component, saga
from fedjax_opt.estimators.l_svrg import LSVRGState
from fedjax_opt.mechanisms import diana, diana_rr
from fedjax_opt.mechanisms.coins import every
from fedjax_opt.simulate.distribute import distribute

M, D = 6, 3
RNG = np.random.default_rng(2)
KEY = jax.random.key(3)
# fⱼ(x) = ½|Aⱼ(x − cⱼ)|², two rows in three dimensions: convex, f strongly convex.
FACTORS = RNG.standard_normal((M, 2, D)) * np.linspace(0.5, 2, M)[:, None, None]
CENTRES = RNG.standard_normal((M, D))
HESSIANS = np.einsum("jri,jrk->jik", FACTORS, FACTORS)
MEAN = HESSIANS.mean(axis=0)
SMOOTH_EACH = np.linalg.eigvalsh(HESSIANS)[:, -1]
CONVEXITY = np.linalg.eigvalsh(MEAN)[0]
OPTIMUM = np.linalg.solve(MEAN, np.einsum("jik,jk->i", HESSIANS, CENTRES) / M)


def gradients(x):
    """∇fⱼ(x), [m, d]."""
    return np.einsum("jik,jk->ji", HESSIANS, x - CENTRES)


def close(found, expected, tolerance=1e-13):
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)


def estimates_at(x, w, coin):
    """The estimate of L-SVRG for each component, [m, d], and the anchors after it."""

    def of(grad, previous):
        state = LSVRGState(jnp.asarray(gradients(w).mean(0)), jnp.asarray(True))
        full_grads = jnp.asarray(gradients(x).mean(0) if coin else np.zeros(D))
        return l_svrg().update(
            grad, state, reference_grads=previous, full=coin, full_grads=full_grads
        )

    estimates, states = jax.vmap(of)(gradients(x), gradients(w))
    return np.asarray(estimates), np.asarray(states.anchor)


# ---------------------------------------------------------------- L-SVRG


def test_l_svrg_is_unbiased_and_exact_at_its_reference():
    x, w = RNG.standard_normal((2, D))
    close(estimates_at(x, w, False)[0].mean(axis=0), gradients(x).mean(axis=0))
    close(estimates_at(x, x, False)[0], np.tile(gradients(x).mean(axis=0), (M, 1)))


def test_l_svrg_uses_the_old_reference_in_the_round_of_the_coin():
    x, w = RNG.standard_normal((2, D))
    kept, old = estimates_at(x, w, False)
    moved, new = estimates_at(x, w, True)
    close(moved, kept, 0)
    close(old, np.tile(gradients(w).mean(axis=0), (M, 1)))
    close(new, np.tile(gradients(x).mean(axis=0), (M, 1)))


def test_l_svrg_starts_with_the_full_gradient():
    x = RNG.standard_normal(D)
    grad, full_grad = gradients(x)[2], gradients(x).mean(axis=0)
    estimate, state = l_svrg().update(
        jnp.asarray(grad),
        l_svrg().init(jnp.zeros(D)),
        reference_grads=jnp.asarray(grad),
        full=True,
        full_grads=jnp.asarray(full_grad),
    )
    close(estimate, full_grad)
    close(state.anchor, full_grad)


@pytest.mark.parametrize("probability", [1 / M, 0.6, 1.0])
def test_l_svrg_contracts_its_lyapunov_function(probability):
    """E Ψ⁺ over components and coin, exactly, from near, far and mixed states."""
    gamma = theory.l_svrg_step_size(SMOOTH_EACH.max())
    weight, contraction = theory.l_svrg_lyapunov(
        gamma, probability, strong_convexity=CONVEXITY
    )
    assert weight == pytest.approx(4 * gamma**2 / probability)
    assert contraction == max(1 - gamma * CONVEXITY, 1 - probability / 2)

    def spread(w):
        return np.mean(np.sum((gradients(w) - gradients(OPTIMUM)) ** 2, axis=1))

    for scale_x, scale_w in [(1, 1), (0.01, 1), (1, 0.01), (1, 0), (0, 1)]:
        for _ in range(5):
            x = OPTIMUM + scale_x * RNG.standard_normal(D)
            w = OPTIMUM + scale_w * RNG.standard_normal(D)
            steps = x - gamma * estimates_at(x, w, False)[0] - OPTIMUM
            distance = np.mean(np.sum(steps**2, axis=1))
            after = probability * spread(x) + (1 - probability) * spread(w)
            before = np.sum((x - OPTIMUM) ** 2) + weight * spread(w)
            assert distance + weight * after <= contraction * before * (1 + 1e-12)


def growth(step_size, m=100):
    """Spectral radius of E (x⁺, w⁺)⊗(x⁺, w⁺) for f₁ = (m/2) x², other fⱼ = 0."""
    curvature = np.zeros(m)
    curvature[0] = m

    def estimate(slope, x, w):
        state = LSVRGState(jnp.asarray(w), jnp.asarray(True))  # ∇f(w) = w
        return l_svrg().update(
            slope * x, state, reference_grads=slope * w, full=False, full_grads=0.0
        )[0]

    of_x, of_w = (
        np.asarray(jax.vmap(lambda slope, p=p: estimate(slope, *p))(curvature))
        for p in ((1.0, 0.0), (0.0, 1.0))
    )
    total = np.zeros((4, 4))
    for a, b in zip(of_x, of_w, strict=True):
        for coin, weight in ((True, 1 / m), (False, 1 - 1 / m)):
            step = np.array(
                [
                    [1 - step_size * a, -step_size * b],
                    [1.0, 0.0] if coin else [0.0, 1.0],
                ]
            )
            total += weight / m * np.kron(step, step)
    return np.abs(np.linalg.eigvals(total)).max()


def test_l_svrg_diverges_with_the_smoothness_of_f():
    """L of f is 1, of its steepest component 100."""
    assert growth(1 / 6) > 1.1
    assert growth(theory.l_svrg_step_size(100)) < 1


# ---------------------------------------------------------------- SAGA


def test_saga_by_hand():
    # Two components: T = 0, then ∇f₁ = 3, again 5, then ∇f₀ = 2.
    estimator = saga(2)
    state = estimator.init(jnp.zeros(()))
    found = []
    for grad, component in ((3.0, 1), (5.0, 1), (2.0, 0)):
        estimate, state = estimator.update(
            jnp.asarray(grad), state, component=jnp.asarray(component)
        )
        found.append(float(estimate))
    assert found == [3.0, 5 - 3 + 1.5, 2 - 0 + 2.5]
    np.testing.assert_array_equal(state.table, [2, 5])
    assert state.mean == 3.5


def test_saga_is_unbiased_whatever_its_table():
    x, table = RNG.standard_normal(D), jnp.asarray(RNG.standard_normal((M, D)))
    state = saga(M).init(jnp.zeros(D))._replace(table=table, mean=table.mean(axis=0))
    estimates, _ = jax.vmap(lambda g, j: saga(M).update(g, state, component=j))(
        gradients(x), jnp.arange(M)
    )
    close(estimates.mean(axis=0), gradients(x).mean(axis=0))


def test_saga_knows_the_gradient_once_all_rows_are_in():
    x, estimator = RNG.standard_normal(D), saga(M)
    state = estimator.init(jnp.zeros(D))
    for j in range(M):
        _, state = estimator.update(jnp.asarray(gradients(x)[j]), state, component=j)
    estimate, _ = estimator.update(jnp.asarray(gradients(x)[4]), state, component=4)
    close(estimate, gradients(x).mean(axis=0))


# ---------------------------------------------------------------- DIANA-RR


def test_diana_rr_on_equal_gradients_learns_each_row_apart():
    """One worker, identity-like steps: a row's shift moves when it is visited only."""
    adapter = distribute(
        diana_rr(rand_k(D), 2, shift_step=0.5),
        1,
        key=KEY,
        worker_transform=of_component(),
    )
    state = adapter.init(jnp.zeros(D))
    for component, value in ((0, 4.0), (1, 8.0), (0, 4.0)):
        grads = jnp.full((1, D), value)
        estimate, state = adapter.update(grads, state, component=jnp.array([component]))
        close(estimate, np.full(D, value))
    close(state.worker, np.array([[[3.0] * D, [4.0] * D]]))


def test_diana_rr_with_one_component_is_diana():
    grads = jnp.asarray(RNG.standard_normal((4, 2, D)))

    def estimates(mechanism):
        adapter = distribute(mechanism, 2, key=KEY)

        def one_round(state, grad):
            return adapter.update(grad, state)[::-1]

        return jax.lax.scan(one_round, adapter.init(jnp.zeros(D)), grads)[1]

    close(estimates(diana_rr(rand_k(1), 1)), estimates(diana(rand_k(1))))


# ---------------------------------------------------------------- coins, refusals


def test_every_falls_once_in_a_period():
    coin = every(3)
    assert [bool(coin(None, t)) for t in range(7)] == [True, *[False, False, True] * 2]


def test_a_component_is_named():
    grad, component = of_component().update(jnp.ones(D), (), component=2)[0]
    assert component == 2
    close(grad, np.ones(D), 0)


@pytest.mark.parametrize(
    ("estimator", "message"),
    [
        (l_svrg(), "l_svrg needs the gradient of the same sample at the reference"),
        (saga(2), r"saga needs to know .*component=\.\.\."),
        (of_component(), r"of_component needs to know .*component=\.\.\."),
    ],
)
def test_what_is_missing_is_named(estimator, message):
    state = estimator.init(jnp.zeros(D))
    with pytest.raises(TypeError, match=message):
        estimator.update(jnp.ones(D), state)


def test_diana_rr_refuses_a_gradient_without_a_component():
    mechanism = diana_rr(rand_k(2), 2)
    with pytest.raises(TypeError, match=r"estimators\.of_component\(\)"):
        mechanism.worker(None, jnp.ones(D), mechanism.init(jnp.ones(D)).worker)


@pytest.mark.parametrize("count", [0, -1])
def test_no_components_are_refused(count):
    for make in (saga, lambda m: diana_rr(rand_k(1), m)):
        with pytest.raises(ValueError, match="num_components must be at least 1"):
            make(count)


def test_a_period_below_one_is_refused():
    with pytest.raises(ValueError, match="period"):
        every(0)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_states_keep_their_dtype(dtype):
    params = jnp.zeros(D, dtype)
    for estimator in (l_svrg(), saga(M)):
        state = estimator.init(params)
        given = {"reference_grads": params, "full_grads": params, "full": True}
        estimate, after = estimator.update(params, state, component=0, **given)
        assert estimate.dtype == dtype
        assert jax.eval_shape(lambda x: x, after) == jax.eval_shape(lambda x: x, state)
        assert np.isfinite(np.asarray(estimate, float)).all()


# ---------------------------------------------------------------- theory


def test_step_sizes_by_hand():
    assert theory.l_svrg_step_size(2) == pytest.approx(1 / 12)
    assert theory.q_rr_step_size(2, omega=3, num_workers=6) == pytest.approx(1 / 4)
    constants = {"num_workers": 6, "num_components": 10}
    flat = theory.diana_rr(2, 3, strong_convexity=0.1, **constants)
    assert flat == pytest.approx((min(0.25 / 2, 1 / 8), 0.25))
    steep = theory.diana_rr(2, 3, strong_convexity=1, **constants)
    assert steep == pytest.approx((0.25 / 20, 0.25))
    # Without compression both are 1/L_max where the first term does not bind.
    assert theory.q_rr_step_size(2, omega=0, num_workers=6) == 0.5
    assert theory.diana_rr(2, 0, strong_convexity=0.01, **constants).step_size == 0.5


def test_theory_refuses_what_is_out_of_range():
    with pytest.raises(ValueError, match="smoothness_max"):
        theory.l_svrg_step_size(0)
    with pytest.raises(ValueError, match="probability"):
        theory.l_svrg_lyapunov(0.1, 0, strong_convexity=1)
    with pytest.raises(ValueError, match="omega"):
        theory.q_rr_step_size(1, omega=-1, num_workers=2)
    with pytest.raises(ValueError, match="num_components"):
        theory.diana_rr(1, 1, num_workers=2, num_components=0, strong_convexity=1)
