"""Cases of schedules: tables_and_lmo."""

CASES = {}
