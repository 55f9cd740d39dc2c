"""What people may ask of workers. Each function is one transaction, with an audit entry for each process it changes.

No process is signalled from here: the wish is written to the worker's row, and the supervisor of its host reads it with
the next beat.
"""

from django.db import transaction

from scheduling.audit.operations import Actor, record
from scheduling.definitions.json_values import require_storable
from scheduling.errors import IllegalTransition
from scheduling.instants import database_now
from workers.models import Worker
from workers.selectors import worker_actions


@transaction.atomic
def drain_worker(*, actor: Actor, worker: Worker, reason: str = "", whole_host: bool = False) -> Worker:
    """Have a process claim nothing more, finish what fits into its grace, hand back the rest and end for good. So ends
    one, too, that drains because its host replaces it, and has longer; its follower stays.

    Its supervisor acts on it within a beat, or when it finds the process dead, and starts no other in its place; with
    `whole_host` the same holds for every process of that supervisor, also for one that is just starting. Asking again
    changes nothing, and leaves no entry; asking for the whole host while this one drains does. IllegalTransition where
    it has ended.
    """
    require_storable(reason=reason)
    # Locked in the order of their ids, as a beat locks them; a reaper that is declaring one lost comes first or later.
    chosen = {"supervisor_id": worker.supervisor_id} if whole_host else {"pk": worker.pk}
    asked = Worker.objects.filter(**chosen)
    held = {each.pk: each for each in asked.live().select_for_update(no_key=True).order_by("pk")}
    if worker.pk not in held:
        ended = Worker.objects.get(pk=worker.pk)
        raise IllegalTransition(
            f"A worker that is {ended.state} cannot be drained.", allowed_actions=worker_actions(ended)
        )
    now, reason = database_now(), reason[:500]
    for each in held.values():
        is_asked = each.drain_requested_at is None
        is_widened = whole_host and not each.drains_host
        if is_asked:
            each.drain_requested_at, each.drain_requested_by = now, str(actor)
            each.state_reason = f"asked to drain by {actor}{f': {reason}' if reason else ''}"
        if is_widened:
            each.drains_host = True
        if is_asked or is_widened:
            each.save(update_fields=["drain_requested_at", "drain_requested_by", "state_reason", "drains_host"])
            after = {"reason": reason, "host": each.host, **({"whole_host": True} if whole_host else {})}
            record(actor=actor, action="worker.drain", target=each, after=after)
    return held[worker.pk]
