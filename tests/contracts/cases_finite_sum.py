"""Cases of schedules: finite_sum."""

CASES = {}
