"""Every method by name: what the command line knows of it. One entry per method."""

import difflib
import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from ..compressors import rand_k, top_k
from ..compressors.named import named
from ..transforms.proximal import soft_threshold
from ..types import Method
from .accelerated_rennala_sgd import accelerated_rennala_sgd
from .adacgd_gd import adacgd_gd
from .asgd import asgd
from .asgrad import asgrad
from .ata import ata
from .clag_gd import clag_gd
from .clip21_gd import clip21_gd
from .clip21_sgd2m import clip21_sgd2m
from .clipped_gd import clipped_gd
from .cofig_gd import cofig_gd
from .dasha_gd import dasha_gd
from .dasha_mvr import dasha_mvr
from .dasha_page import dasha_page
from .dasha_pp import dasha_pp
from .dasha_pp_mvr import dasha_pp_mvr
from .dasha_pp_page import dasha_pp_page
from .dasha_sync_mvr import dasha_sync_mvr
from .dcgd_gd import dcgd_gd
from .delay_adaptive_asgd import delay_adaptive_asgd
from .delay_adaptive_lmo import delay_adaptive_lmo
from .delayed_sgd import delayed_sgd
from .diana_gd import diana_gd
from .diana_rr import diana_rr
from .dprox_clipped_shift import dprox_clipped_shift
from .ec_diana import ec_diana
from .ec_lsvrg_diana import ec_lsvrg_diana
from .ef14_gd import ef14_gd
from .ef21_bc import ef21_bc
from .ef21_gd import ef21_gd
from .ef21_hb import ef21_hb
from .ef21_muon import ef21_muon
from .ef21_p_diana import ef21_p_diana
from .ef21_page import ef21_page
from .ef21_pp import ef21_pp
from .ef21_prox import ef21_prox
from .ef21_sgdm import ef21_sgdm
from .ef_bv_gd import ef_bv_gd
from .frecon_gd import frecon_gd
from .freya_page import freya_page
from .freya_sgd import freya_sgd
from .gdci import gdci
from .gta import gta
from .hero_gd import hero_gd
from .hero_sgd import hero_sgd
from .hogwild import hogwild
from .ia2sgd import ia2sgd
from .l_svrg import l_svrg
from .lag_gd import lag_gd
from .malenia_sgd import malenia_sgd
from .marina_gd import marina_gd
from .masha1 import masha1
from .masha2 import masha2
from .mcm import mcm
from .mindflayer_sgd import mindflayer_sgd
from .minibatch_sgd import minibatch_sgd
from .naive_optimal_asgd import naive_optimal_asgd
from .norm_ec_gd import norm_ec_gd
from .norm_ef21_gd import norm_ef21_gd
from .norm_ef21_sgdm import norm_ef21_sgdm
from .ofta import ofta
from .one_byte_sgd import one_byte_sgd
from .picky_sgd import picky_sgd
from .power_sgd import power_sgd
from .pp_marina import pp_marina
from .press_clip21_gd import press_clip21_gd
from .q_rr import q_rr
from .rand_diana_gd import rand_diana_gd
from .rennala_lmo import rennala_lmo
from .rennala_mvr import rennala_mvr
from .rennala_sgd import rennala_sgd
from .rescaled_asgd import rescaled_asgd
from .ringleader_asgd import ringleader_asgd
from .ringmaster_asgd import ringmaster_asgd
from .ringmaster_lmo import ringmaster_lmo
from .saga import saga
from .sarah import sarah
from .soviet_gd import soviet_gd
from .soviet_page import soviet_page
from .uta import uta
from .vecna_sgd import vecna_sgd
from .vr_diana import vr_diana
from .vr_gdci import vr_gdci
from .vr_marina import vr_marina

Axes = dict[str, list]


class Entry(NamedTuple):
    """A method, and how to tune it.

    Attributes:
      make: the recipe; its first number to tune is `step_size`.
      title: the method's name in full.
      arxiv: the paper, or the paper that it is a baseline of.
      group: what it is grouped with in tables.
      options: keywords of the recipe that are not tuned, such as a compressor.
      axes: (num_workers) -> {keyword: values}, what is tuned besides the step size.
    """

    make: Callable[..., Method]
    title: str
    arxiv: str
    group: str
    options: Mapping[str, Any] = MappingProxyType({})
    axes: Callable[[int], Axes] = lambda num_workers: {}

    @property
    def recipe(self) -> Callable[..., Method]:
        """The recipe with its options, a function of what is tuned."""
        return functools.partial(self.make, **self.options)

    def grid(self, step_sizes: Iterable[float], num_workers: int) -> dict[str, list]:
        """The axes of a sweep, the step size first; what is an option is not tuned."""
        axes = {"step_size": list(step_sizes), **self.axes(num_workers)}
        return {name: axes[name] for name in axes if name not in self.options}

    def with_options(self, options: Mapping[str, Any]) -> "Entry":
        """The entry with more keywords fixed.

        Raises:
          ValueError: for one that the recipe does not have.
        """
        keywords = inspect.signature(self.make).parameters
        for name in options:
            if name not in keywords:
                raise ValueError(
                    f"{self.make.__name__} has no option {name!r}; it has "
                    f"{', '.join(keywords)}"
                )
        return self._replace(options=dict(self.options) | dict(options))


def over_batch_sizes(num_workers: int) -> Axes:
    """Batch sizes S to try."""
    return {"batch_size": _sizes(num_workers)}


def over_delay_thresholds(num_workers: int) -> Axes:
    """Delay thresholds R to try."""
    return {"delay_threshold": _sizes(num_workers)}


def over_noise_ratios(num_workers: int) -> Axes:
    """Ratios σ²/ε to try; with so many workers a mean gradient has variance ε."""
    return {"noise_ratio": _sizes(num_workers)}


def over_trials(num_workers: int) -> Axes:
    """Trials per worker to try."""
    del num_workers
    return {"trials": [1, 2, 4]}


def over_radii(num_workers: int) -> Axes:
    """Distances to try, in units of the parameters."""
    del num_workers
    return {"radius": [0.1, 0.3, 1.0]}


def _sizes(num_workers: int) -> list[int]:
    """n^¼, n^½ and n^¾, rounded: 3, 10 and 32 for a hundred workers."""
    return sorted({round(num_workers ** (power / 4)) for power in (1, 2, 3)})


METHODS: Mapping[str, Entry] = MappingProxyType(
    {
        "minibatch_sgd": Entry(
            minibatch_sgd, "Minibatch SGD", "2305.12387", "synchronous"
        ),
        "rennala_sgd": Entry(
            rennala_sgd,
            "Rennala SGD",
            "2305.12387",
            "batch collector",
            axes=over_batch_sizes,
        ),
        "accelerated_rennala_sgd": Entry(
            accelerated_rennala_sgd,
            "Accelerated Rennala SGD",
            "2305.12387",
            "batch collector",
            axes=over_batch_sizes,
        ),
        "rennala_mvr": Entry(
            rennala_mvr,
            "Rennala MVR",
            "2605.08871",
            "batch collector",
            axes=over_batch_sizes,
        ),
        "malenia_sgd": Entry(
            malenia_sgd,
            "Malenia SGD",
            "2305.12387",
            "batch collector",
            axes=over_batch_sizes,
        ),
        "mindflayer_sgd": Entry(
            mindflayer_sgd,
            "MindFlayer SGD",
            "2410.04285",
            "batch collector",
            axes=over_batch_sizes,
        ),
        "vecna_sgd": Entry(
            vecna_sgd, "Vecna SGD", "2410.04285", "batch collector", axes=over_trials
        ),
        "ata": Entry(
            ata,
            "ATA, adaptive task allocation",
            "2502.00775",
            "batch collector",
            axes=over_batch_sizes,
        ),
        "gta": Entry(
            gta,
            "GTA, greedy task allocation",
            "2502.00775",
            "batch collector",
            axes=over_batch_sizes,
        ),
        "ofta": Entry(
            ofta,
            "OFTA, optimal fixed task allocation",
            "2502.00775",
            "batch collector",
            axes=over_batch_sizes,
        ),
        "uta": Entry(
            uta,
            "UTA, uniform task allocation",
            "2502.00775",
            "batch collector",
            axes=over_batch_sizes,
        ),
        "hero_sgd": Entry(hero_sgd, "Hero SGD", "2305.12387", "single worker"),
        "asgd": Entry(asgd, "Asynchronous SGD", "2206.07638", "asynchronous"),
        "delay_adaptive_asgd": Entry(
            delay_adaptive_asgd,
            "Delay-adaptive asynchronous SGD",
            "2206.07638",
            "asynchronous",
        ),
        "picky_sgd": Entry(
            picky_sgd, "Picky SGD", "2106.10344", "asynchronous", axes=over_radii
        ),
        "ringmaster_asgd": Entry(
            ringmaster_asgd,
            "Ringmaster ASGD",
            "2501.16168",
            "asynchronous",
            axes=over_delay_thresholds,
        ),
        "naive_optimal_asgd": Entry(
            naive_optimal_asgd,
            "Naive Optimal ASGD",
            "2501.16168",
            "asynchronous",
            axes=over_noise_ratios,
        ),
        "ringleader_asgd": Entry(
            ringleader_asgd, "Ringleader ASGD", "2509.22860", "asynchronous"
        ),
        "ia2sgd": Entry(ia2sgd, "IA²SGD", "2509.22860", "asynchronous"),
        "rescaled_asgd": Entry(
            rescaled_asgd, "Rescaled ASGD", "2605.13434", "asynchronous"
        ),
        "asgrad": Entry(asgrad, "AsGrad, shuffled", "2310.20452", "asynchronous"),
        "delayed_sgd": Entry(
            delayed_sgd,
            "SGD with gradients 10 steps old",
            "1806.10188",
            "asynchronous",
            options={"delay": 10},
        ),
        "hogwild": Entry(
            hogwild,
            "Hogwild, reads up to 10 steps old",
            "1802.03801",
            "asynchronous",
            options={"max_delay": 10},
        ),
        "ringmaster_lmo": Entry(
            ringmaster_lmo,
            "Ringmaster LMO",
            "2605.18174",
            "LMO",
            axes=over_delay_thresholds,
        ),
        "rennala_lmo": Entry(
            rennala_lmo, "Rennala LMO", "2605.18174", "LMO", axes=over_batch_sizes
        ),
        "delay_adaptive_lmo": Entry(
            delay_adaptive_lmo, "Delay-adaptive LMO", "2605.18174", "LMO"
        ),
        "ef21_muon": Entry(
            ef21_muon,
            "EF21-Muon, Top-5 %",
            "2510.00643",
            "LMO",
            options={"compressor": top_k(fraction=0.05)},
        ),
        "freya_page": Entry(freya_page, "Freya PAGE", "2405.15545", "finite sum"),
        "freya_sgd": Entry(
            freya_sgd, "Freya SGD", "2405.15545", "finite sum", axes=over_batch_sizes
        ),
        "soviet_page": Entry(soviet_page, "Soviet PAGE", "2405.15545", "finite sum"),
        "soviet_gd": Entry(soviet_gd, "Soviet GD", "2405.15545", "finite sum"),
        "hero_gd": Entry(hero_gd, "Hero GD", "2405.15545", "finite sum"),
        "ef21_gd": Entry(
            ef21_gd,
            "EF21, full gradients, Top-5 %",
            "2106.05203",
            "compressed",
            options={"compressor": top_k(fraction=0.05)},
        ),
        "diana_gd": Entry(
            diana_gd,
            "DIANA, full gradients, Rand-5 %",
            "1901.09269",
            "compressed",
            options={"compressor": rand_k(fraction=0.05)},
        ),
        "dcgd_gd": Entry(
            dcgd_gd,
            "DCGD, full gradients, Rand-5 %",
            "1806.06573",
            "compressed",
            options={"compressor": rand_k(fraction=0.05)},
        ),
        "one_byte_sgd": Entry(
            one_byte_sgd,
            "One byte per gradient, slopes up to 1",
            "2306.10015",
            "compressed",
            options={"clip": 1.0},
        ),
        "ef14_gd": Entry(
            ef14_gd,
            "EF14, full gradients, Top-5 %",
            "1809.07599",
            "compressed",
            options={"compressor": top_k(fraction=0.05)},
        ),
        "ec_diana": Entry(
            ec_diana,
            "EC-SGD-DIANA, full gradients, Top-5 % and Rand-5 %",
            "2010.12292",
            "compressed",
            options={
                "compressor": top_k(fraction=0.05),
                "shift_compressor": rand_k(fraction=0.05),
            },
        ),
        "power_sgd": Entry(
            power_sgd,
            "PowerSGD, rank 2",
            "1905.13727",
            "compressed",
            options={"rank": 2},
        ),
        "ef_bv_gd": Entry(
            ef_bv_gd,
            "EF-BV, full gradients, Top-5 %",
            "2205.04180",
            "compressed",
            options={"compressor": top_k(fraction=0.05)},
        ),
        "ef21_sgdm": Entry(
            ef21_sgdm,
            "EF21-SGDM, Top-5 %",
            "2305.15155",
            "compressed",
            options={"compressor": top_k(fraction=0.05)},
        ),
        "ef21_hb": Entry(
            ef21_hb,
            "EF21-HB, Top-5 %",
            "2110.03294",
            "compressed",
            options={"compressor": top_k(fraction=0.05)},
        ),
        "ef21_prox": Entry(
            ef21_prox,
            "EF21-Prox, Top-5 %, l1 norm of weight 10⁻⁴",
            "2110.03294",
            "compressed",
            options={"compressor": top_k(fraction=0.05), "prox": soft_threshold(1e-4)},
        ),
        "ef21_pp": Entry(
            ef21_pp,
            "EF21-PP, Top-5 %, one worker at a time",
            "2110.03294",
            "compressed",
            options={"compressor": top_k(fraction=0.05), "participants": 1},
        ),
        "ef21_page": Entry(
            ef21_page,
            "EF21-PAGE, Top-5 %",
            "2110.03294",
            "compressed",
            options={"compressor": top_k(fraction=0.05), "probability": 0.1},
        ),
        "ef21_bc": Entry(
            ef21_bc,
            "EF21-BC, Top-5 % up, Top-20 % down",
            "2110.03294",
            "compressed",
            options={
                "compressor": top_k(fraction=0.05),
                "server_compressor": top_k(fraction=0.2),
            },
        ),
        "ef21_p_diana": Entry(
            ef21_p_diana,
            "EF21-P + DIANA, Rand-5 % up, Top-5 % down",
            "2209.15218",
            "compressed",
            options={
                "compressor": rand_k(fraction=0.05),
                "model_compressor": top_k(fraction=0.05),
            },
        ),
        "mcm": Entry(
            mcm,
            "MCM, Rand-5 % both ways",
            "2102.12528",
            "compressed",
            options={
                "compressor": rand_k(fraction=0.05),
                "model_compressor": rand_k(fraction=0.05),
                "memory_step": 0.05,
            },
        ),
        "masha1": Entry(
            masha1,
            "MASHA1, Rand-50 % both ways",
            "2110.03313",
            "compressed",
            options={
                "compressor": rand_k(fraction=0.5),
                "server_compressor": rand_k(fraction=0.5),
                "momentum": 0.5,
            },
        ),
        "masha2": Entry(
            masha2,
            "MASHA2, Top-50 % both ways",
            "2110.03313",
            "compressed",
            options={
                "compressor": top_k(fraction=0.5),
                "server_compressor": top_k(fraction=0.5),
                "momentum": 0.5,
            },
        ),
        "rand_diana_gd": Entry(
            rand_diana_gd,
            "Rand-DIANA, full gradients, Rand-5 %",
            "2206.10452",
            "compressed",
            options={"compressor": rand_k(fraction=0.05)},
        ),
        "lag_gd": Entry(
            lag_gd,
            "LAG, full gradients, ζ = 1",
            "1805.09965",
            "compressed",
            options={"trigger": 1.0},
        ),
        "clag_gd": Entry(
            clag_gd,
            "CLAG, full gradients, Top-5 %, ζ = 1",
            "2202.00998",
            "compressed",
            options={"compressor": top_k(fraction=0.05), "trigger": 1.0},
        ),
        "marina_gd": Entry(
            marina_gd,
            "MARINA, full gradients, Rand-5 %",
            "2102.07845",
            "compressed",
            options={"compressor": rand_k(fraction=0.05), "probability": 0.05},
        ),
        "vr_marina": Entry(
            vr_marina,
            "VR-MARINA, Rand-5 %",
            "2102.07845",
            "compressed",
            options={"compressor": rand_k(fraction=0.05), "probability": 0.05},
        ),
        "pp_marina": Entry(
            pp_marina,
            "PP-MARINA, Rand-5 %, one worker at a time",
            "2102.07845",
            "compressed",
            options={
                "compressor": rand_k(fraction=0.05),
                "probability": 0.05,
                "count": 1,
            },
        ),
        "dasha_gd": Entry(
            dasha_gd,
            "DASHA, full gradients, Rand-5 %",
            "2202.01268",
            "compressed",
            options={"compressor": rand_k(fraction=0.05)},
        ),
        "dasha_page": Entry(
            dasha_page,
            "DASHA-PAGE, Rand-5 %",
            "2202.01268",
            "compressed",
            options={"compressor": rand_k(fraction=0.05), "probability": 0.1},
        ),
        "dasha_mvr": Entry(
            dasha_mvr,
            "DASHA-MVR, Rand-5 %",
            "2202.01268",
            "compressed",
            options={"compressor": rand_k(fraction=0.05), "momentum": 0.9},
        ),
        "l_svrg": Entry(
            l_svrg,
            "L-SVRG",
            "1901.08689",
            "variance reduced",
            options={"probability": 0.1},
        ),
        "sarah": Entry(
            sarah,
            "SARAH",
            "1703.00102",
            "variance reduced",
            options={"period": 10},
        ),
        "saga": Entry(saga, "SAGA", "1407.0202", "variance reduced"),
        "vr_diana": Entry(
            vr_diana,
            "VR-DIANA, Rand-5 %",
            "1904.05115",
            "compressed",
            options={"compressor": rand_k(fraction=0.05), "probability": 0.1},
        ),
        "ec_lsvrg_diana": Entry(
            ec_lsvrg_diana,
            "EC-LSVRG-DIANA, Top-5 % and Rand-5 %",
            "2010.12292",
            "compressed",
            options={
                "compressor": top_k(fraction=0.05),
                "shift_compressor": rand_k(fraction=0.05),
                "probability": 0.1,
            },
        ),
        "q_rr": Entry(
            q_rr,
            "Q-RR, Rand-5 %",
            "2206.07021",
            "compressed",
            options={"compressor": rand_k(fraction=0.05)},
        ),
        "diana_rr": Entry(
            diana_rr,
            "DIANA-RR, Rand-5 %",
            "2206.07021",
            "compressed",
            options={"compressor": rand_k(fraction=0.05)},
        ),
        "dasha_sync_mvr": Entry(
            dasha_sync_mvr,
            "DASHA-SYNC-MVR, Rand-5 %",
            "2202.01268",
            "compressed",
            options={"compressor": rand_k(fraction=0.05), "probability": 0.1},
        ),
        "dasha_pp": Entry(
            dasha_pp,
            "DASHA-PP, full gradients, Rand-5 %, half of the workers",
            "2205.15580",
            "compressed",
            options={"compressor": rand_k(fraction=0.05), "probability": 0.5},
        ),
        "dasha_pp_page": Entry(
            dasha_pp_page,
            "DASHA-PP-PAGE, Rand-5 %, half of the workers",
            "2205.15580",
            "compressed",
            options={
                "compressor": rand_k(fraction=0.05),
                "probability": 0.5,
                "refresh_probability": 0.1,
            },
        ),
        "dasha_pp_mvr": Entry(
            dasha_pp_mvr,
            "DASHA-PP-MVR, Rand-5 %, half of the workers",
            "2205.15580",
            "compressed",
            options={
                "compressor": rand_k(fraction=0.05),
                "probability": 0.5,
                "momentum": 0.9,
            },
        ),
        "cofig_gd": Entry(
            cofig_gd,
            "COFIG, full gradients, Rand-5 %, one worker at a time",
            "2112.13097",
            "compressed",
            options={"compressor": rand_k(fraction=0.05), "count": 1},
        ),
        "frecon_gd": Entry(
            frecon_gd,
            "FRECON, full gradients, Rand-5 %, one worker at a time",
            "2112.13097",
            "compressed",
            options={"compressor": rand_k(fraction=0.05), "count": 1},
        ),
        "gdci": Entry(
            gdci,
            "GDCI, Rand-5 %, η = 0.02",
            "2206.10452",
            "compressed",
            options={"compressor": rand_k(fraction=0.05), "mixing": 0.02},
        ),
        "vr_gdci": Entry(
            vr_gdci,
            "VR-GDCI, Rand-5 %, η = 0.02",
            "2206.10452",
            "compressed",
            options={"compressor": rand_k(fraction=0.05), "mixing": 0.02},
        ),
        "adacgd_gd": Entry(
            adacgd_gd,
            "AdaCGD, full gradients, Top-1 % or Top-5 %, ζ = 1",
            "2211.00188",
            "compressed",
            options={
                "compressors": (top_k(fraction=0.01), top_k(fraction=0.05)),
                "trigger": 1.0,
            },
        ),
        "clipped_gd": Entry(
            clipped_gd,
            "Clipped gradients, τ = 1",
            "2305.18929",
            "clipped",
            options={"threshold": 1.0},
        ),
        "clip21_gd": Entry(
            clip21_gd,
            "Clip21, full gradients, τ = 1",
            "2305.18929",
            "clipped",
            options={"threshold": 1.0},
        ),
        "press_clip21_gd": Entry(
            press_clip21_gd,
            "Press-Clip21, full gradients, Top-5 %, τ = 1",
            "2305.18929",
            "clipped",
            options={"compressor": top_k(fraction=0.05), "threshold": 1.0},
        ),
        "clip21_sgd2m": Entry(
            clip21_sgd2m,
            "Clip21-SGD2M, τ = 1",
            "2502.11682",
            "clipped",
            options={"threshold": 1.0},
        ),
        "norm_ef21_gd": Entry(
            norm_ef21_gd,
            "‖EF21‖, full gradients, Top-5 %",
            "2410.16871",
            "clipped",
            options={"compressor": top_k(fraction=0.05)},
        ),
        "norm_ef21_sgdm": Entry(
            norm_ef21_sgdm,
            "‖EF21-SGDM‖, Top-5 %",
            "2410.16871",
            "clipped",
            options={"compressor": top_k(fraction=0.05)},
        ),
        "norm_ec_gd": Entry(
            norm_ec_gd,
            "α-NormEC, full gradients",
            "2502.13482",
            "clipped",
            options={"alpha": 1.0, "estimate_step": 0.1},
        ),
        "dprox_clipped_shift": Entry(
            dprox_clipped_shift,
            "DProx-clipped-SGD-shift, τ = 1",
            "2310.01860",
            "clipped",
            options={"threshold": 1.0, "shift_step": 0.5},
        ),
    }
)


def lookup(names: Iterable[str]) -> dict[str, Entry]:
    """The entries of these names, in this order.

    Args:
      names: of methods, with options behind colons where one differs from the
        recipe's defaults: "rennala_sgd", "rennala_sgd:stop=true:batch_size=10",
        "ef21_gd:compressor=top_k(10)".

    Raises:
      ValueError: for an unknown name or option, a repeated one, or none at all.
    """
    names = list(names)
    if not names:
        raise ValueError(f"no method given: choose from {', '.join(METHODS)}")
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"method {name!r} is given twice: leave one out")
    return {name: _entry(*name.split(":")) for name in names}


def _entry(name: str, *options: str) -> Entry:
    if name not in METHODS:
        close = difflib.get_close_matches(name, METHODS)
        meant = f"did you mean {' or '.join(close)}? " if close else ""
        raise ValueError(
            f"unknown method {name!r}; {meant}The methods are {', '.join(METHODS)}"
        )
    pairs = [option.partition("=") for option in options]
    for option, (keyword, _, value) in zip(options, pairs, strict=True):
        if not (keyword and value):
            raise ValueError(f"{name}: write {option!r} as option=value")
    return METHODS[name].with_options(
        {
            keyword: (named if keyword.endswith("compressor") else _value)(text)
            for keyword, _, text in pairs
        }
    )


def _value(text: str) -> bool | int | float | str | None:
    """What is meant by the value of an option: true, none, 3, 0.5, or a word."""
    words = {"true": True, "false": False, "none": None}
    if text.lower() in words:
        return words[text.lower()]
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            pass
    return text
