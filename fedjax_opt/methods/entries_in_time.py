"""The methods whose schedule is their point: who works when. One entry per method."""

from .accelerated_rennala_sgd import accelerated_rennala_sgd
from .asgd import asgd
from .asgrad import asgrad
from .ata import ata
from .delay_adaptive_asgd import delay_adaptive_asgd
from .delay_adaptive_lmo import delay_adaptive_lmo
from .delayed_sgd import delayed_sgd
from .entry import (
    Entry,
    over_batch_sizes,
    over_delay_thresholds,
    over_noise_ratios,
    over_radii,
    over_trials,
)
from .freya_page import freya_page
from .freya_sgd import freya_sgd
from .gta import gta
from .hero_gd import hero_gd
from .hero_sgd import hero_sgd
from .hogwild import hogwild
from .ia2sgd import ia2sgd
from .malenia_sgd import malenia_sgd
from .mindflayer_sgd import mindflayer_sgd
from .minibatch_sgd import minibatch_sgd
from .naive_optimal_asgd import naive_optimal_asgd
from .ofta import ofta
from .picky_sgd import picky_sgd
from .rennala_lmo import rennala_lmo
from .rennala_mvr import rennala_mvr
from .rennala_sgd import rennala_sgd
from .rescaled_asgd import rescaled_asgd
from .ringleader_asgd import ringleader_asgd
from .ringmaster_asgd import ringmaster_asgd
from .ringmaster_lmo import ringmaster_lmo
from .soviet_gd import soviet_gd
from .soviet_page import soviet_page
from .uta import uta
from .vecna_sgd import vecna_sgd

ENTRIES = {
    "minibatch_sgd": Entry(minibatch_sgd, "Minibatch SGD", "2305.12387", "synchronous"),
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
    "freya_page": Entry(freya_page, "Freya PAGE", "2405.15545", "finite sum"),
    "freya_sgd": Entry(
        freya_sgd, "Freya SGD", "2405.15545", "finite sum", axes=over_batch_sizes
    ),
    "soviet_page": Entry(soviet_page, "Soviet PAGE", "2405.15545", "finite sum"),
    "soviet_gd": Entry(soviet_gd, "Soviet GD", "2405.15545", "finite sum"),
    "hero_gd": Entry(hero_gd, "Hero GD", "2405.15545", "finite sum"),
}
