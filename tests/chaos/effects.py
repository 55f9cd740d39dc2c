"""The rules about steps and what their tools did: see `invariants`."""

from collections import Counter, defaultdict
from collections.abc import Iterator

from pipelines.engine.paths import shown_path
from tests.chaos.history import History
from tests.chaos.leases import Leases
from tests.chaos.rules import invariant


@invariant("finished steps stay finished", "no holder calls a step after its success, a former one within bounds [I5]")
def _finished_steps_stay_finished(history: History) -> Iterator[str]:
    succeeded = Counter((step.run, step.path) for step in history.steps if step.state == "succeeded")
    yield from (f"run {run} {path}: {n} successes" for (run, path), n in succeeded.items() if n > 1)
    finished, bodies, leases = _successes(history), _paths(history), Leases.of(history)
    for line in history.ledger:
        success = finished.get((line.run, bodies.get((line.run, line.path, line.attempt), line.path)))
        if line.what != "begin" or success is None or line.at <= success[0]:
            continue
        at, epoch = success
        if line.epoch >= epoch:
            earlier = f"finished by {epoch} {line.at - at:.2f} s before"
            yield f"run {line.run} {line.path}: begun by epoch {line.epoch}, {earlier}"
        elif wrong := leases.say_if_too_late(line):
            yield f"run {line.run} {line.path}: finished by {epoch}, and {wrong}"


@invariant("zombies stop in time", "a worker that lost a run begins no call of it past its abort bound [rule 27]")
def _zombies_stop_in_time(history: History) -> Iterator[str]:
    leases = Leases.of(history)
    for line in history.ledger:
        if line.what == "begin" and (wrong := leases.say_if_too_late(line)):
            yield f"run {line.run} {line.path}: {wrong}"


@invariant("at least once", "a step that succeeded had its effect, in the attempt that the journal names [design]")
def _at_least_once(history: History) -> Iterator[str]:
    ended = {(line.run, line.path, line.attempt) for line in history.ledger if line.what == "end"}
    for step in history.steps:
        is_real = step.state == "succeeded" and step.uses.startswith("chaos.") and not step.is_simulated
        if is_real and (step.run, shown_path(step.path), step.attempt) not in ended:
            yield f"run {step.run} {step.path} attempt {step.attempt} succeeded and never ended"


@invariant("at most once where it is forbidden", "a tool that forbids repeats in doubt is called once a run [rule 21]")
def _at_most_once(history: History) -> Iterator[str]:
    # A person who redrives a run in doubt has answered the question.
    redrives = Counter(
        action.reply.get("id") for action in history.actions if action.action == "run.retry" and action.is_accepted
    )
    calls = Counter((line.run, line.path) for line in history.ledger if line.kind == "once" and line.what == "begin")
    for (run, path), n in calls.items():
        if n > 1 + redrives[run]:
            yield f"run {run} {path}: called {n} times"


@invariant("keys are stable", "an idempotency key belongs to one step of one run, in all its attempts [I9]")
def _keys_are_stable(history: History) -> Iterator[str]:
    keys: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    steps: defaultdict[str, set[tuple[str, str]]] = defaultdict(set)
    for line in history.ledger:
        keys[line.run, line.path].add(line.key)
        steps[line.key].add((line.run, line.path))
    yield from (f"run {run} {path}: {sorted(found)}" for (run, path), found in keys.items() if len(found) > 1)
    yield from (f"key {key}: {sorted(found)}" for key, found in steps.items() if len(found) > 1)


@invariant("a tool cancels only itself", "a tool that cancels its own task fails its step, in every attempt [design]")
def _a_tool_cancels_only_itself(history: History) -> Iterator[str]:
    for step in history.steps:
        if step.uses == "chaos.cancel_itself" and step.state == "succeeded" and not step.is_simulated:
            yield f"run {step.run} {step.path} attempt {step.attempt} canceled itself and {step.state}"


@invariant("what runs last runs", "a run that succeeded, or failed by a step, has run its `finally` [design]")
def _what_runs_last_runs(history: History) -> Iterator[str]:
    has_run = {step.run for step in history.steps if step.path == "last" and step.state == "succeeded"}
    for run in history.runs:
        is_over = run.state == "succeeded" or run.cause in ("permanent", "exhausted")
        if run.task in history.tidying and is_over and run.id not in has_run:
            yield f"run {run.id} {run.state} ({run.cause}) without what runs last"


@invariant("nothing outlives its worker", "what a tool leaves behind ends with the worker that called it [design]")
def _nothing_outlives_its_worker(history: History) -> Iterator[str]:
    yield from history.outlived


def _paths(history: History) -> dict[tuple[str, str, int], str]:
    """Where the journal keeps each attempt: a container that is tried again begins another body, whose steps have the
    same name for tools and people, and whose attempts go on counting."""
    return {(step.run, shown_path(step.path), step.attempt): step.path for step in history.steps}


def _successes(history: History) -> dict[tuple[str, str], tuple[float, int]]:
    """When the success of each step was written, and under which epoch."""
    epochs: dict[str, int] = {}
    found: dict[tuple[str, str], tuple[float, int]] = {}
    for change in history.changes:
        if change.what == "work" and change.owner is not None and change.epoch is not None:
            epochs[change.run] = change.epoch
        if change.what == "step" and change.state == "succeeded":
            found.setdefault((change.run, change.path), (change.at.timestamp(), epochs.get(change.run, 0)))
    return found
