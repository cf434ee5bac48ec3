"""Cases of schedules: asynchronous."""

CASES = {}
