"""What theory says about a cluster, one row per method."""

from typing import Any, NamedTuple

from . import finite_sum_times as sums
from . import inputs
from .asynchronous import malenia, rennala, ringmaster, sgd
from .finite_sum import freya_page, soviet_page
from .heterogeneous import (
    rescaled_time,
    ringleader,
    ringleader_harmonic_batch,
    ringleader_time,
)
from .mindflayer import mindflayer, mindflayer_allocation
from .times import (
    asgd_time,
    fastest_minibatch_time,
    hero_time,
    minibatch_time,
    seconds,
    t_het,
    t_hom,
)

MINIBATCH = "τ_n (1 + s/n)"


class Row(NamedTuple):
    """One method on one cluster.

    Attributes:
      method: its name; `lower_bound` is what no method beats.
      data: "homogeneous": all workers sample one distribution; "heterogeneous"; or
        "finite_sum": every worker can compute any of m components.
      time: seconds to E|∇f|² <= ε, up to a universal constant; inf is never.
      formula: of the time, in units of LΔ/ε; for finite sums in seconds, k = LΔ/ε.
      ratio: time over the lower bound of the same data; 1 is optimal.
      parameters: what is prescribed: step_size, batch_size, delay_threshold,
        num_workers (use the fastest only), probability (of a full gradient),
        num_updates; without those unknown.
    """

    method: str
    data: str
    time: float
    formula: str
    ratio: float
    parameters: dict[str, Any]


def summary(
    times,
    noise_ratio,
    *,
    smoothness: float = 1,
    initial_gap: float = 1,
    accuracy: float = 1,
    num_components: int | None = None,
) -> list[Row]:
    """Times, lower bounds and prescribed parameters for a cluster.

    With the default L = Δ = ε = 1 times are in units of LΔ/ε and step sizes in units
    of 1/L. Universal constants are dropped from times and ratios, not from the
    parameters; `num_updates` therefore exceeds what the times alone would suggest.

    Args:
      times: [n] seconds per gradient; inf for a dead worker.
      noise_ratio: s = σ²/ε.
      smoothness: L.
      initial_gap: Δ = f(x⁰) − f*.
      accuracy: ε, for E|∇f|² <= ε.
      num_components: m; adds the rows of a finite sum, all of whose smoothness
        constants are taken as L.

    Returns:
      Rows, the lower bound first, for homogeneous, heterogeneous and finite-sum data.
      In fixed times all trials of MindFlayer succeed; of Rescaled ASGD only the leading
      term is known.
    """
    unit = seconds(1, smoothness=smoothness, initial_gap=initial_gap, accuracy=accuracy)
    target = {"accuracy": accuracy, "initial_gap": initial_gap}
    cluster = inputs.worker_times(times), inputs.nonnegative("noise_ratio", noise_ratio)
    hom = _homogeneous(*cluster, smoothness, target)
    hom += _more_homogeneous(*cluster, smoothness, target)
    het = _heterogeneous(*cluster, smoothness, target)
    het += _more_heterogeneous(*cluster, smoothness, target)
    rows = _rows("homogeneous", unit, hom) + _rows("heterogeneous", unit, het)
    if num_components is None:
        return rows
    entries = _finite_sum(cluster[0], num_components, unit, smoothness, target)
    return rows + _rows("finite_sum", 1, entries)


def _homogeneous(times, noise_ratio, smoothness, target) -> list[tuple]:
    """(method, time, formula, parameters) of each; the lower bound first."""
    n, variance = times.size, noise_ratio * target["accuracy"]
    hom, formula = t_hom(times, noise_ratio), "min_m (m + s)/H_m"
    batch = rennala(smoothness, variance, **target)
    delay = ringmaster(smoothness, variance, **target)
    backup, m = fastest_minibatch_time(times, noise_ratio)
    of_m = sgd(smoothness, variance / m, **target)._asdict() | {"num_workers": m}
    of_n = sgd(smoothness, variance / n, **target)
    of_1 = sgd(smoothness, variance, **target)
    return [
        ("lower_bound", hom.value, formula, {}),
        ("rennala", hom.value, formula, batch._asdict()),
        ("ringmaster", hom.value, formula, delay._asdict()),
        ("naive_optimal_asgd", hom.value, formula, {"num_workers": hom.num_workers}),
        ("asgd", asgd_time(times, noise_ratio), "(n + s)/H_n", {}),
        ("fastest_minibatch", backup, "min_m τ_m (1 + s/m)", of_m),
        ("minibatch", minibatch_time(times, noise_ratio), MINIBATCH, of_n._asdict()),
        ("hero", hero_time(times, noise_ratio), "τ_1 (1 + s)", of_1._asdict()),
    ]


def _heterogeneous(times, noise_ratio, smoothness, target) -> list[tuple]:
    """(method, time, formula, parameters) of each; the lower bound first."""
    n, variance = times.size, noise_ratio * target["accuracy"]
    het, formula = t_het(times, noise_ratio), "τ_n + mean(τ) s/n"
    batch = malenia(smoothness, variance, num_workers=n, **target)
    of_n = sgd(smoothness, variance / n, **target)
    return [
        ("lower_bound", het, formula, {}),
        ("malenia", het, formula, batch._asdict()),
        ("minibatch", minibatch_time(times, noise_ratio), MINIBATCH, of_n._asdict()),
    ]


def _more_homogeneous(times, noise_ratio, smoothness, target) -> list[tuple]:
    """MindFlayer, whose trials all succeed in fixed times, and delay-adaptive ASGD."""
    size = max(1.0, noise_ratio)
    found = mindflayer(times, 1, smoothness, noise_ratio * target["accuracy"], **target)
    trials = mindflayer_allocation(times, 1, size)
    parameters = {
        "step_size": found.step_size,
        "batch_size": found.expected,
        "num_workers": trials.num_workers,
        "num_updates": found.num_updates,
    }
    formula = "min_m (m + max {s, 1})/H_m"
    return [
        ("mindflayer", trials.time, formula, parameters),
        ("delay_adaptive_asgd", asgd_time(times, noise_ratio), "(n + s)/H_n", {}),
    ]


def _more_heterogeneous(times, noise_ratio, smoothness, target) -> list[tuple]:
    """Ringleader, and the leading term of Rescaled ASGD."""
    found = ringleader(
        smoothness,
        noise_ratio * target["accuracy"],
        accuracy=target["accuracy"],
        num_workers=times.size,
        harmonic_batch=ringleader_harmonic_batch(times),
    )
    formula = "τ_n + mean(τ) s/n"
    leading = f"{formula}, leading term"
    return [
        ("ringleader", ringleader_time(times, noise_ratio), formula, found._asdict()),
        ("rescaled_asgd", rescaled_time(times, noise_ratio), leading, {}),
    ]


def _finite_sum(times, num_components, unit, smoothness, target) -> list[tuple]:
    """(method, seconds, formula, parameters) of each; the lower bound first."""
    case = times, num_components, unit
    of_m = {"num_components": num_components, **target}
    freya = freya_page(smoothness, smoothness, **of_m)
    soviet = soviet_page(smoothness, smoothness, **of_m)
    bound, full = sums.finite_sum_lower_bound(*case), "min_j (m + j)/H_j"
    return [
        ("lower_bound", bound, f"(1 + k/√m) {full}", {}),
        (
            "freya_page",
            sums.freya_page_time(*case),
            f"{full} + k min_j (√m + j)/H_j",
            freya._asdict(),
        ),
        (
            "soviet_page",
            sums.soviet_page_time(*case),
            "τ_n (m + k√m)/n",
            soviet._asdict(),
        ),
        (
            "hero_page",
            sums.hero_page_time(*case),
            "τ_1 (m + k√m)",
            soviet._asdict(),
        ),
        ("soviet_gd", sums.soviet_gd_time(*case), "k τ_n m/n", {}),
        ("hero_gd", sums.hero_gd_time(*case), "k τ_1 m", {}),
    ]


def _rows(data: str, unit: float, entries: list[tuple]) -> list[Row]:
    """Adds the unit of time and the ratio to the first entry, the lower bound."""
    bound = entries[0][1]
    return [
        Row(
            method=method,
            data=data,
            time=time * unit,
            formula=formula,
            ratio=1.0 if time == bound else time / bound,  # also where both are inf
            parameters=parameters,
        )
        for method, time, formula, parameters in entries
    ]
