"""The messages that a user reads when parts do not fit."""

import jax.numpy as jnp
import numpy as np
import pytest

from fedjax_opt import checks, mechanisms
from fedjax_opt.compressors import (
    comp,
    hard_threshold,
    higgs,
    identity,
    natural,
    rand_k,
    scaled_sign,
    top_k,
    wrap,
)
from fedjax_opt.types import Certificate, Compressor


def nothing_certified(label=""):
    return Compressor(
        encode=lambda keys, x: x,
        decode=lambda keys, message, like: message,
        bits=lambda keys, message, like: None,
        certificate=lambda d: Certificate(),
        label=label,
    )


@pytest.mark.parametrize(
    "c",
    [
        identity(),
        top_k(10),
        top_k(fraction=0.01),
        scaled_sign(),
        natural(),
        wrap.scaled(rand_k(10)),
        wrap.per_leaf(top_k(10)),
        wrap.whole_tree(scaled_sign()),
        top_k(10**9),
    ],
)
def test_contractive_ones_pass(c):
    assert checks.contractive(c, user="ef21") is c


@pytest.mark.parametrize(
    "c", [identity(), natural(), rand_k(10), wrap.whole_tree(rand_k(fraction=0.1))]
)
def test_unbiased_ones_pass(c):
    assert checks.unbiased(c, user="diana") is c


def text_of(call, error):
    with pytest.raises(error) as caught:
        call()
    return str(caught.value)


@pytest.mark.parametrize("lift", [lambda c: c, wrap.per_leaf])
def test_contractive_names_the_cure(lift):
    text = text_of(
        lambda: checks.contractive(lift(rand_k(10)), user="ef21"), ValueError
    )
    assert text == (
        "ef21 needs a contractive compressor; rand_k(k=10) certifies only omega. "
        "Wrap it: wrap.scaled(rand_k(k=10))."
    )


def test_a_large_share_is_not_mistaken_for_a_contraction():
    with pytest.raises(
        ValueError, match=r"rand_k\(fraction=0.9\) certifies only omega"
    ):
        checks.contractive(rand_k(fraction=0.9), user="ef21")


def test_the_cure_for_a_tree_works():
    c = wrap.whole_tree(rand_k(10))
    text = text_of(lambda: checks.contractive(c, user="ef21"), ValueError)
    assert "Wrap it: wrap.scaled(wrap.whole_tree(rand_k(k=10)))." in text
    assert checks.contractive(wrap.scaled(c), user="ef21") is wrap.scaled(c)


def test_unbiased_says_what_was_found():
    text = text_of(lambda: checks.unbiased(top_k(10), user="diana"), ValueError)
    assert text == (
        "diana needs an unbiased compressor; top_k(k=10) certifies only alpha. "
        "Take one with an omega, such as rand_k."
    )


def test_compressors_without_a_certificate_are_refused():
    text = text_of(
        lambda: checks.contractive(nothing_certified("mine()"), user="ef21"), ValueError
    )
    assert "mine() certifies no alpha. Take one that does" in text
    text = text_of(lambda: checks.unbiased(nothing_certified(), user="u"), ValueError)
    assert "the compressor certifies no omega" in text


@pytest.mark.parametrize("c", [comp(2, 3), wrap.per_leaf(comp(2, 3))])
def test_contractive_on_small_arrays_alone_is_said_to_be_that(c):
    text = text_of(lambda: checks.contractive(c, user="ef21"), ValueError)
    assert text == (
        "ef21 needs a contractive compressor; comp(2, 3) certifies no alpha on large "
        "arrays, only its bias and its noise. Take ef_bv, which needs no more, or a "
        "compressor such as top_k."
    )
    mechanisms.ef_bv(c)  # the cure


def test_an_absolute_error_will_do_where_it_is_asked_for():
    c = hard_threshold(1.0)
    assert checks.contractive(c, user="ef14", or_absolute=True) is c
    assert checks.contractive(top_k(1), user="ef14", or_absolute=True) is top_k(1)
    text = text_of(lambda: checks.contractive(c, user="ef21"), ValueError)
    assert "hard_threshold(1.0) certifies no alpha. Take one that does" in text
    for bad in (rand_k(2), higgs(1)):
        with pytest.raises(ValueError, match="ef14 needs a contractive compressor"):
            checks.contractive(bad, user="ef14", or_absolute=True)


@pytest.mark.parametrize("c", [top_k(2), rand_k(2), wrap.whole_tree(rand_k(2))])
def test_one_of_two_certificates_will_do(c):
    assert checks.contractive_or_unbiased(c, user="v5_map") is c


@pytest.mark.parametrize("c", [hard_threshold(1.0), higgs(1), comp(2, 3)])
def test_neither_certificate_is_refused(c):
    text = text_of(lambda: checks.contractive_or_unbiased(c, user="v5_map"), ValueError)
    assert text == (
        f"v5_map needs a contractive or an unbiased compressor; {c.label} certifies "
        "neither alpha nor omega. Take one that does, such as top_k or rand_k."
    )


@pytest.mark.parametrize("check", [checks.contractive, checks.unbiased])
def test_a_constructor_is_not_a_compressor(check):
    text = text_of(lambda: check(top_k, user="ef21"), TypeError)
    assert "ef21 needs a compressor such as top_k(10), got <function top_k" in text
    assert "without calling it?" in text


def test_positive():
    for value in (1, 1e-300, np.inf, jnp.array(-1.0)):
        checks.positive(value, "step_size")
    for value in (0, -1.0, np.nan):
        with pytest.raises(
            ValueError, match=f"step_size must be positive, got {value}"
        ):
            checks.positive(value, "step_size")


def test_positive_integer():
    for value in (1, np.int64(3)):
        checks.positive_integer(value, "k")
    with pytest.raises(ValueError, match="k must be at least 1, got 0"):
        checks.positive_integer(0, "k")
    with pytest.raises(TypeError, match="k must be an integer, got 2.0"):
        checks.positive_integer(2.0, "k")


@pytest.mark.parametrize(
    ("ends", "interval", "inside", "outside"),
    [
        ({}, r"\[0, 1\]", [0, 0.5, 1], [-0.1, 1.1, np.nan]),
        ({"zero": False}, r"\(0, 1\]", [1e-9, 1.0], [0, 2]),
        ({"one": False}, r"\[0, 1\)", [0.0, 0.9], [1, -1]),
        ({"zero": False, "one": False}, r"\(0, 1\)", [0.5], [0, 1.0]),
    ],
)
def test_in_unit_interval(ends, interval, inside, outside):
    for value in [*inside, jnp.array(7.0)]:
        checks.in_unit_interval(value, "momentum", **ends)
    for value in outside:
        with pytest.raises(ValueError, match=f"momentum must lie in {interval}"):
            checks.in_unit_interval(value, "momentum", **ends)
