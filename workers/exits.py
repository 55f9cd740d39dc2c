"""Exit codes of a worker process; `runworkers` itself ends with 0 after an orderly stop."""

DRAINED = 0  # SIGTERM: finished or handed back everything
HURRIED = 3  # a second SIGTERM, or SIGINT: everything was put back at once
ABORTED = 70  # no acknowledged beat in time: dropped its runs and settled nothing; the supervisor starts another
ORPHANED = 71  # the supervisor is gone
