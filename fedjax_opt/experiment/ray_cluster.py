"""Sweeps that outgrow one machine: shares of the runs as tasks of a Ray cluster."""

import pickle
import warnings
from typing import Any

import jax
import numpy as np

from ..types import ComputeTime, Link, Method, Problem
from .prepare import Horizon, prepare
from .record import Trace
from .run import execute

RETRIES = 3  # of a share whose worker dies; Ray's own default

# On these the numbers depend, so the workers take them over from the caller.
SETTINGS = (
    "jax_enable_x64",
    "jax_default_matmul_precision",
    "jax_threefry_partitionable",
)


def execute_on_ray(
    methods: list[Method],
    problem: Problem,
    keys: list,
    horizon: Horizon,
    *,
    num_workers: int,
    compute_time: ComputeTime | None,
    link: Link | None,
) -> list[Trace]:
    """Does what `execute` does, with one task for each CPU (or GPU) of a Ray cluster.

    The cluster is the one this process is connected to; otherwise that of RAY_ADDRESS,
    or one that runs on this machine; otherwise a new one on this machine. A task whose
    process or machine dies is repeated, up to `RETRIES` times: the keys are part of
    it, so that it gives the same numbers.

    Raises:
      ImportError: without Ray.
      TypeError: if a part holds what no other process can be sent.
      ray.exceptions.RayError: if a share has died too often.
    """
    ray = _import_ray()
    cluster = {"num_workers": num_workers, "compute_time": compute_time, "link": link}
    prepare(methods, problem, keys, horizon, **cluster)
    settings = {name: getattr(jax.config, name) for name in SETTINGS}
    same = _pickled(ray, "problem", (problem, horizon, cluster, settings))
    order = _by_clock(methods, keys)
    if not ray.is_initialized():
        _connect(ray)
    num_tasks, takes = _capacity(ray.cluster_resources())
    shares = np.array_split(order, min(num_tasks, len(order)))
    own = [
        _pickled(ray, "method", ([methods[i] for i in share], [keys[i] for i in share]))
        for share in shares
    ]
    task = ray.remote(max_retries=RETRIES, **takes)(_run_share)
    same_for_all = ray.put(same)
    # When one fails the others run on: to cancel a task that is just ending makes Ray
    # (2.60) abort this process.
    try:
        done = ray.get([task.remote(same_for_all, share) for share in own])
    except ray.exceptions.RayTaskError as error:
        raise error.cause from error
    traces = [trace for share in done for trace in share]
    return [traces[i] for i in np.argsort(order)]


def _import_ray() -> Any:
    try:
        import ray
    except ImportError as error:
        raise ImportError(
            "cluster='ray' needs Ray: pip install 'fedjax-opt[cluster]'"
        ) from error
    return ray


def _connect(ray) -> None:
    """Finds a cluster, or starts one, which ends with the thread that started it."""
    with warnings.catch_warnings():
        # JAX's threads do not matter: what Ray forks executes another program at once.
        warnings.filterwarnings("ignore", r"os\.fork\(\) was called", RuntimeWarning)
        ray.init()


def _by_clock(methods: list[Method], keys: list) -> np.ndarray:
    """The order of runs in which those that share a clock are neighbours."""
    seen: dict[int, int] = {}

    def group(method, key):
        leaves = jax.tree.leaves((method.schedule, jax.random.key_data(key)))
        clock = hash(tuple(np.asarray(leaf).tobytes() for leaf in leaves))
        return seen.setdefault(clock, len(seen))

    return np.argsort([*map(group, methods, keys)], kind="stable")


def _capacity(resources: dict[str, float]) -> tuple[int, dict[str, int]]:
    """How many tasks run at once, and what each of them takes."""
    if resources.get("GPU", 0) >= 1:
        return int(resources["GPU"]), {"num_gpus": 1}
    return max(1, int(resources.get("CPU", 1))), {"num_cpus": 1}


def _pickled(ray, what: str, value) -> bytes:
    try:
        return ray.cloudpickle.dumps(value)
    except (TypeError, pickle.PicklingError) as error:
        raise TypeError(
            f"cluster='ray' sends the {what} to other processes: {error}; make what "
            "cannot be sent inside the function that uses it"
        ) from error


def _run_share(same: bytes, own: bytes) -> list[Trace]:
    """The task: some of the runs, with the caller's settings."""
    with jax.enable_x64(True):  # else float64 arrays would be rounded as they arrive
        problem, horizon, cluster, settings = pickle.loads(same)
        methods, keys = pickle.loads(own)
    for name, value in settings.items():
        jax.config.update(name, value)
    return execute(methods, problem, keys, horizon, **cluster)
