"""What fires because something happened: events, conditions, the ends of other tasks' runs.

    publish(event) -> schedules of kind `event` whose topic pattern and filter match -> admit, in the same transaction
    tick of a `condition` -> a check run (trigger `check`) -> its end -> filter over `outputs` -> rising edge -> admit
    a run's end -> schedules of kind `after` on its task -> admit

The end of a run is told by a database trigger on the deletion of its due work, for runs that are `is_watched`: the
statements that end runs are many, and none can forget it. The trigger writes a RunEnd, which the clock consumes
queue-style (SKIP LOCKED), in the transaction that admits what follows: each end is acted on once.

A run that was started by an event carries it: the expressions of its pipeline read it as `event`. An event that such a
run publishes is one deeper; past the setting ORDINAUT_MAX_EVENT_DEPTH nothing is started any more, so that a task that
fires itself stops.
"""
