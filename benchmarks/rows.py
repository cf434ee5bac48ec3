"""The benchmarks, in the order of the table; each is imported when it runs."""

import importlib

from .harness import Row

# The module of each; its function has the benchmark's name.
ROWS = {
    "ringmaster_paper": "paper",
    "rennala_paper": "paper",
    "asgd_paper": "paper",
    "asgd_network": "asgd_network",
    "replay_limit": "replay_limit",
    "clock": "clock",
    "paper_grid": "paper_grid",
    "ef21_round": "ef21_round",
    "lmo_step": "lmo_step",
    "memory": "memory",
    "compile": "compile_time",
}


def rows_of(name: str) -> list[Row]:
    """Runs one benchmark."""
    module = importlib.import_module(f"{__package__}.{ROWS[name]}")
    return getattr(module, name)()
