"""The torture driver: a seeded round of load and faults on a private installation, and the judgement of what it left.

    __main__    `make torture`: rounds for as long as asked, one seed each, in processes of their own; `--self-test`
    again       the command that repeats a round
    round       one round: start, load and faults, heal, wait for quiet, judge, report
    plan        what befalls when: the seed's decision, a value that is printed (pure)
    stack       PostgreSQL, Valkey, PgBouncer, clocks and worker hosts of the round, and their ends
    proxy       the network between them and PostgreSQL: cut, silent in one or both directions, slow
    faults      how each kind of fault is done and undone; those of the database in `database_faults`
    load        agents and an operator at the API: runs, cancellations, pauses, redrives, events; their tasks: `tasks`
    callers     how those prove who they are, and send
    tools       what their pipelines call; each call writes to the ledger
    bereft      what those tools have left behind, and whether it ends with its worker
    ledger      what really happened, outside of the database: one line at the beginning and the end of each call
    recorder    triggers in the round's database that keep every change of a lease, a step and a run's state
    history     all of the above as one value
    invariants  the rules, each a function from a history to complaints (pure); those about steps in `effects`,
                which reads them by `leases`
    planted     a sound history, and for each rule a violation of it: the judge is judged

A seed decides faults, their times and targets, and the sequence of the load. What the machine's scheduler adds is not
the seed's, so a repeated round meets the same faults at the same times, not the same interleaving.
"""
