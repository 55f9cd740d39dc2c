"""Who runs the work: worker processes, their leases, the journal of steps, and what is done about the dead.

    runworkers (host)                                     python -m workers.process (xN)
    ------------------------------------------            ----------------------------------------------
    Supervisor        starts, restarts, stops   ------->  WorkerProcess    register, work, drain, abort
    Keeper  links     <---- ticks --- pulse --- acks ---> Pulse            is this process still believed?
            beats     one row update a host and second    Pool             claim > brief > slots > settle
            reaper    watches the beats of all hosts        Claimer        leases due work
            gates     admits held runs, by a sweep          Execution      one run through the engine
            listener  NOTIFY of due work, cancellation    JournalWriter    one commit for all slots

The life of a lease:

    due --claim--> leased --settle--> gone (the run has ended)
     ^               |    --settle--> due again (retry, park, hand-back)
     |               |    --death---> suspect --claim alone--> leased, charged with the next death
     +---------------+----------------------------------------------------> quarantined at the limit

Note [Two clocks of death]: a process stops believing in its leases ORDINAUT_ABORT_AFTER after it sent the tick that
the last beat was written for; a reaper declares it dead when it has itself watched that beat stand still for
ORDINAUT_REAP_AFTER, which is longer. Both count boot time, which goes on while a host sleeps. Whoever is wrong all the
same, frozen between the check and the write, is stopped by the fence (see `workers.journal`, Note [Fence]).

Modules read in this order: claim, briefing, execution, settlement, journal, pool; pulse, lifecycle, process; links,
reaper, keeper, host. The statements themselves are in `workers/sql`.
"""
