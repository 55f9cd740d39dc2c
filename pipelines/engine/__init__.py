"""The engine: carries out a compiled pipeline and owns nothing else.

A run is a walk over the document's steps. For each, the journal is asked first: a step that has an entry which
stands for ever (succeeded, skipped, failed and tolerated) is not run again, its decoded output is used. Otherwise
attempts are made until one succeeds or the policy allows no more:

    intent (tools with effects only) > call > result, committed

- `execution` runs a pipeline's sections; `walker` decides about each step and writes it down; `scopes` are what a step
  sees, `together` carries out lines of steps side by side, of which each is a branch (`branches`) that can be stopped;
  `ways_out` are how a run leaves its steps without an error; `tries` knows the attempts of one step; `backoff` is the
  arithmetic of delays; `steps` carries out each kind; `simulated` answers for tools that are not called.
- Containers keep no state: a run that goes on is walked from the top, and finds its finished steps in the journal.
- Killed between any two entries and started again from its journal, a run comes to the same entries.
- Time, randomness, journal and tools are ports (`ports`): the worker gives real ones, the simulator its own.
- `asyncio.CancelledError`, and whatever ends the run in the journal (a lost lease), pass through untouched.
"""

from collections.abc import Callable, Sequence
from random import Random

from pipelines.document.nodes import Pipeline
from pipelines.engine.attempts import Surroundings
from pipelines.engine.execution import Execution
from pipelines.engine.ports import Clock, Invoker, Journal, NoSecrets, Outcome, RunContext, SecretStore, StepEntry
from pipelines.engine.questions import NO_ANSWERS, Answers
from pipelines.engine.walker import PARK_AFTER
from pipelines.errors import PipelineError

__all__ = ["PARK_AFTER", "Execution", "Surroundings", "run_pipeline"]


async def run_pipeline(
    pipeline: Pipeline,
    *,
    context: RunContext,
    history: Sequence[StepEntry],
    journal: Journal,
    invoke: Invoker,
    clock: Clock,
    rng: Random,
    retries: Callable[[PipelineError], bool] = lambda _: False,
    answers: Answers = NO_ANSWERS,
    secrets: SecretStore | None = None,
) -> Outcome:
    """Carry out what `history` leaves to do.

    Failures of steps and outputs come back as `Failed`, a backoff of more than two seconds and a question that has no
    answer among `answers` as `Parked`. Raises only
    CancelledError and what the ports raise beside PipelineError. `retries` says whether the run is tried again after an
    error that ends this attempt of it: then `on_error` and `finally` do not run yet.
    """
    surroundings = Surroundings(
        context=context,
        journal=journal,
        invoke=invoke,
        clock=clock,
        retries=retries,
        answers=answers,
        secrets=secrets or NoSecrets(),
    )
    return await Execution(pipeline, surroundings, history, rng).run()
