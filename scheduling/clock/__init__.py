"""The clock: what turns due schedules into runs, on any number of hosts, none of which leads.

A pass (`firing.run_pass`) reads a batch of due schedules (`due`), plans each of them purely and outside of any
transaction, and then, in one transaction, locks those whose version still is the one that was planned from, admits
their runs and moves their marks: by one statement where their tasks leave nothing to decide (`scheduling.runs.plain`,
`at_once`), else through `admit`, in lanes by what they may have to wait for (`lanes`). So an edit, a pause or another
clock that came in between voids the plan, and a crash at any line loses and doubles nothing: the mark moves with the
runs or not at all, and the occurrence is unique in any case.

The loop (`loop.Clock`) sleeps until the earliest mark, is woken by a notification when a schedule changes, and looks
once a second in any case. What is due at that mark it plans before it sleeps, where it is plain and little (`ahead`).
Lateness is judged by the database's clock alone.

APScheduler frames the housekeeping (`housekeeping`): it computes no occurrence of ours.
"""
