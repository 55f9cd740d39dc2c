"""What a worker process counts. It sends the counts to its supervisor, which shows them to Prometheus."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from prometheus_client.core import CounterMetricFamily, Metric, SummaryMetricFamily

CLAIMED = "claimed"
LOST_LEASES = "lost_leases"
REFUSED = "refused"
COMMITS = "commits"
STEPS = "steps"
STEP_SECONDS = "step_seconds"
SETTLED = "settled:"  # followed by the name of the settlement
SETTLED_SIMULATED = f"{SETTLED}simulated:"  # the same of simulated runs

Tally = Counter[str]

_PLAIN = {
    CLAIMED: ("ordinaut_runs_claimed", "Runs that worker processes leased."),
    LOST_LEASES: ("ordinaut_leases_lost", "Writes that changed nothing: the run had been given to another."),
    REFUSED: ("ordinaut_journal_refused", "Journal writes that the database refused for their data."),
    COMMITS: ("ordinaut_journal_commits", "Statements that committed journal entries and settlements."),
}


def added(tallies: Iterable[Mapping[str, float]]) -> Tally:
    """The sum of the tallies of several processes."""
    total: Tally = Counter()
    for tally in tallies:
        total.update(tally)
    return total


def metrics(tally: Mapping[str, float]) -> Iterator[Metric]:
    """The families of a tally, in Prometheus' terms."""
    for name, (metric, help_text) in _PLAIN.items():
        yield CounterMetricFamily(metric, help_text, value=tally.get(name, 0))
    settled = CounterMetricFamily(
        "ordinaut_runs_settled", "Runs that left a slot, by what became of them.", labels=["outcome", "simulated"]
    )
    for name, count in tally.items():
        if name.startswith(SETTLED):
            is_simulated = name.startswith(SETTLED_SIMULATED)
            outcome = name.removeprefix(SETTLED_SIMULATED).removeprefix(SETTLED)
            settled.add_metric([outcome, "true" if is_simulated else "false"], count)
    yield settled
    yield SummaryMetricFamily(
        "ordinaut_step_seconds",
        "Duration of finished steps.",
        count_value=int(tally.get(STEPS, 0)),
        sum_value=tally.get(STEP_SECONDS, 0.0),
    )
