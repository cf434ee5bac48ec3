"""Recipes refuse at construction what their parts would refuse in a run."""

import jax
import jax.numpy as jnp
import pytest

from fedjax_opt import methods
from fedjax_opt.compressors import hard_threshold, higgs, rand_k, top_k
from fedjax_opt.mechanisms import coins, v5_map

TOP, RAND = {"compressor": top_k(2)}, {"compressor": rand_k(2)}
BIASED = "needs an unbiased compressor; top_k.* certifies only alpha"
UNSCALED = r"needs a contractive compressor; rand_k.*Wrap it: wrap\.scaled\("


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("diana_gd", TOP, BIASED),
        ("diana_gd", RAND | {"shift_step": 1.5}, r"shift_step must lie in \[0, 1\]"),
        ("diana_rr", TOP, BIASED),
        ("vr_diana", TOP | {"probability": 0.5}, BIASED),
        ("ef21_p_diana", TOP | {"model_compressor": top_k(2)}, BIASED),
        (
            "mcm",
            RAND | {"model_compressor": top_k(2), "memory_step": 0.1},
            BIASED,
        ),
        ("rand_diana_gd", TOP, BIASED),
        ("marina_gd", TOP | {"probability": 0.5}, BIASED),
        ("vr_marina", TOP | {"probability": 0.5}, BIASED),
        ("pp_marina", TOP | {"probability": 0.5, "count": 1}, BIASED),
        ("dasha_gd", TOP, BIASED),
        ("dasha_mvr", TOP | {"momentum": 0.5}, BIASED),
        ("dasha_mvr", RAND | {"momentum": 1.5}, "mvr needs the weight of the old"),
        ("dasha_page", TOP | {"probability": 0.5}, BIASED),
        ("dasha_sync_mvr", TOP | {"probability": 0.5}, BIASED),
        ("dasha_pp", TOP | {"probability": 0.5}, BIASED),
        ("dasha_pp", RAND | {"probability": 2.0}, r"probability must lie in \(0, 1\]"),
        ("dasha_pp_mvr", TOP | {"probability": 0.5, "momentum": 0.5}, BIASED),
        (
            "dasha_pp_page",
            RAND | {"probability": 0.5, "refresh_probability": 2.0},
            r"^refresh_probability must lie in \(0, 1\], got 2.0",
        ),
        ("cofig_gd", TOP | {"count": 1}, BIASED),
        ("cofig_gd", RAND | {"count": 0}, "needs count to be 1, 2"),
        ("frecon_gd", TOP | {"count": 1}, BIASED),
        ("clag_gd", RAND | {"trigger": 1.0}, UNSCALED),
        ("clag_gd", TOP | {"trigger": -1.0}, "trigger must be at least 0"),
        ("lag_gd", {"trigger": -1.0}, "trigger must be at least 0"),
        ("adacgd_gd", {"compressors": (rand_k(2),), "trigger": 1.0}, UNSCALED),
        ("press_clip21_gd", RAND | {"threshold": 1.0}, UNSCALED),
        ("ec_diana", RAND | {"shift_compressor": rand_k(2)}, UNSCALED),
        ("ec_diana", TOP | {"shift_compressor": top_k(2)}, BIASED),
        (
            "ec_lsvrg_diana",
            TOP | {"shift_compressor": top_k(2), "probability": 0.5},
            BIASED,
        ),
        ("ef14_gd", RAND, UNSCALED),
        ("clip21_gd", {"threshold": -1}, "threshold must be positive, got -1"),
        ("clip21_sgd2m", {"threshold": 1.0, "estimate_step": 2.0}, "estimate_step"),
        ("clip21_sgd2m", {"threshold": 1.0, "momentum": 1.0}, "momentum"),
        ("clipped_gd", {"threshold": -1.0}, "clip needs a threshold ≥ 0"),
        (
            "dprox_clipped_shift",
            {"threshold": 1.0, "shift_step": 2.0},
            "shift_step must lie in",
        ),
        ("norm_ec_gd", {"alpha": -1, "estimate_step": 1.0}, "needs alpha ≥ 0, got -1"),
        ("norm_ec_gd", {"alpha": 1.0, "estimate_step": 0.0}, "estimate_step"),
        ("gdci", TOP | {"mixing": 0.5}, f"gdci {BIASED}"),
        ("gdci", RAND | {"mixing": 2.0}, r"mixing must lie in \(0, 1\]"),
        ("vr_gdci", TOP | {"mixing": 0.5}, BIASED),
        ("q_rr", TOP, f"q_rr {BIASED}"),
        ("ef_bv_gd", RAND | {"shift_step": 2.0}, "shift_step must lie in"),
        ("ef21_hb", TOP | {"momentum": 1.5}, r"momentum must lie in \[0, 1\), got 1.5"),
        ("ef21_sgdm", TOP | {"momentum": 1.5}, "momentum must lie in"),
        ("norm_ef21_sgdm", TOP | {"momentum": 1.5}, "momentum must lie in"),
        ("ef21_muon", TOP | {"momentum": 1.5}, "momentum needs the weight"),
        (
            "masha1",
            RAND | {"server_compressor": rand_k(2), "momentum": 1.0},
            r"momentum must lie in \[0, 1\)",
        ),
        ("rennala_mvr", {"batch_size": 2, "momentum": 2.0}, "mvr needs the weight"),
        ("hogwild", {"max_delay": 1, "overwrite_probability": 2.0}, "probability"),
    ],
)
def test_mistakes_are_named(name, options, message):
    with pytest.raises(ValueError, match=message):
        getattr(methods, name)(step_size=0.1, **options)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("rennala_lmo", {"batch_size": 2}),
        ("ringmaster_lmo", {"delay_threshold": 2}),
        ("delay_adaptive_lmo", {}),
        ("norm_ef21_gd", TOP),
        ("norm_ec_gd", {"alpha": 1.0, "estimate_step": 0.5}),
        ("ef21_muon", TOP),
    ],
)
def test_the_length_of_a_step_is_positive(name, options):
    with pytest.raises(ValueError, match="step_size must be positive, got -1.0"):
        getattr(methods, name)(step_size=-1.0, **options)


OF_A_COIN = {
    "dasha_page": RAND,
    "dasha_sync_mvr": RAND,
    "vr_diana": RAND,
    "vr_marina": RAND,
    "ef21_page": TOP,
    "ec_lsvrg_diana": TOP | {"shift_compressor": rand_k(2)},
    "l_svrg": {},
}


@pytest.mark.parametrize("bad", [-1.0, 0.0, 2.0])
@pytest.mark.parametrize("name", OF_A_COIN)
def test_the_probability_of_a_coin_is_one(name, bad):
    make = getattr(methods, name)
    with pytest.raises(ValueError, match=r"probability must lie in \(0, 1\], got"):
        make(step_size=0.1, probability=bad, **OF_A_COIN[name])
    make(step_size=0.1, probability=1.0, **OF_A_COIN[name])


@pytest.mark.parametrize("name", OF_A_COIN)
def test_traced_numbers_pass(name):
    def leaves(p):
        method = getattr(methods, name)(step_size=p, probability=p, **OF_A_COIN[name])
        return jax.tree.leaves(method)

    found = jax.jit(leaves)(2.0)
    assert len(found) >= 2
    assert all(leaf == 2.0 for leaf in found)


@pytest.mark.parametrize("name", OF_A_COIN)
def test_methods_that_differ_in_numbers_are_one_program(name):
    make = getattr(methods, name)
    one = make(step_size=0.1, probability=0.5, **OF_A_COIN[name])
    other = make(step_size=0.2, probability=0.25, **OF_A_COIN[name])
    assert jax.tree.structure(one) == jax.tree.structure(other)
    assert jax.tree.leaves(one) != jax.tree.leaves(other)


@pytest.mark.parametrize("bad", [-1.0, 0.0, 2.0])
def test_a_common_coin_is_told_a_probability(bad):
    with pytest.raises(ValueError, match=r"probability must lie in \(0, 1\], got"):
        coins.common(bad)
    coins.common(jnp.array(bad))


@pytest.mark.parametrize("c", [hard_threshold(1.0), higgs(1)])
def test_v5_refuses_what_certifies_nothing(c):
    with pytest.raises(ValueError, match="certifies neither alpha nor omega"):
        v5_map(c, probability=0.5)
