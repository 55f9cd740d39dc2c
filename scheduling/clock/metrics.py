"""What the clock tells Prometheus."""

from prometheus_client import Counter, Gauge, Histogram

PASSES = Counter("ordinaut_clock_passes", "Passes of the clock over due schedules.")
RUNS = Counter("ordinaut_clock_runs", "Runs that the clock queued.")
BACKFILLED = Counter("ordinaut_clock_backfilled", "Runs that the clock queued for backfills.")
SKIPPED = Counter("ordinaut_clock_skipped", "Occurrences that a policy skipped.")
MISSED = Counter("ordinaut_clock_missed", "Occurrences that passed without a run.")
QUARANTINED = Counter("ordinaut_clock_quarantined", "Schedules that were set aside.")
SET_ASIDE = Gauge("ordinaut_schedules_quarantined", "Schedules that are set aside now.")
PASS_SECONDS = Histogram(
    "ordinaut_clock_pass_seconds",
    "Duration of a pass.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10),
)
SKEW_SECONDS = Gauge("ordinaut_clock_skew_seconds", "This host's clock less the database's.")
OUTBOX_BACKLOG = Gauge("ordinaut_outbox_backlog", "Events that Redis does not have yet.")
EVENTS_TOO_DEEP = Counter("ordinaut_events_too_deep", "Events that started nothing, because they were too deep.")
FILTERS_FAILED = Counter("ordinaut_filters_failed", "Filters of schedules that could not be evaluated.")
STARTS_REFUSED = Counter("ordinaut_starts_refused", "Runs that an event, end or condition could not start.")
RUN_ENDS_DROPPED = Counter("ordinaut_run_ends_dropped", "Ends of runs that could not be acted on.")
RUN_ENDS = Counter("ordinaut_run_ends", "Ends of runs that somebody waited for, acted on.")
FAULTS = Counter("ordinaut_clock_faults", "Errors of passes, by kind.", ["kind"])
STEPPED_OVER = Gauge("ordinaut_clock_stepped_over", "Schedules and tasks left alone because somebody holds them.")
PASS_AGE_SECONDS = Gauge("ordinaut_clock_pass_age_seconds", "Since the last whole pass, host sleep included.")
OVERDUE = Gauge("ordinaut_clock_overdue", "Schedules whose mark is past by more than the budget of a pass.")
OLDEST_OVERDUE_SECONDS = Gauge("ordinaut_clock_oldest_overdue_seconds", "Age of the oldest mark that is due.")
OVERDUE_TOLD = Counter("ordinaut_clock_overdue_told", "Occurrences told because they are long due and nobody fires.")
DID_NOT_RUN = Counter("ordinaut_clock_did_not_run", "Occurrences found with neither a run nor a reason.")
