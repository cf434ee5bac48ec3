"""Cases of schedules with a table per worker, or made for LMO steps: facts only."""

from contracts.schedule_case import Case
from reference import asynchronous

from fedjax_opt import events


def rows_of(reference, **options):
    return lambda given: (
        reference(*given.loop, num_events=given.num_events, **options).rows
    )


def no_step(momentum):
    return 0.0


def agnostic(stop):
    return {
        "make": lambda n: events.ringmaster_agnostic(stop=stop),
        "other": lambda n: events.ringmaster_agnostic(stop=stop),
        "reference": rows_of(
            asynchronous.ringmaster_lmo_agnostic, lmo=no_step, stop=stop
        ),
        "numbers": lambda n: [],
        "late": True,
    }


CASES = {
    "ringleader": Case(
        lambda n: events.ringleader(),
        lambda n: events.ringleader(),
        rows_of(asynchronous.ringleader_asgd),
        lambda n: [],
        late=True,
        needs_all=True,
    ),
    "ia2sgd": Case(
        lambda n: events.ia2sgd(),
        lambda n: events.ia2sgd(),
        rows_of(asynchronous.ia2sgd),
        lambda n: [],
        late=True,
        needs_all=True,
    ),
    "parameter-agnostic ringmaster": Case(**agnostic(stop=False), rejects=True),
    "parameter-agnostic ringmaster, stop": Case(**agnostic(stop=True), interrupts=True),
}
