"""Cases of schedules: collectors."""

CASES = {}
