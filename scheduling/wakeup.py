"""Wake those who sleep: notifications that are sent after commit, and only shorten a wait.

Polling is the truth everywhere; a lost notification costs a poll interval, never work. They are sent after the
commit and outside of the transaction: NOTIFY inside takes a lock that is held through the commit and cut the rate of
concurrent enqueues to a third when it was measured.
"""

from django.db import connection, transaction

DUE_CHANNEL = "ordinaut_due"  # payload: the name of a queue that has claimable work
SCHEDULES_CHANNEL = "ordinaut_schedules"  # payload: empty; a `next_fire_at` may be earlier than it was
QUEUES_CHANNEL = "ordinaut_queues"  # payload: the name of a queue that is operated otherwise now
QUESTIONS_CHANNEL = "ordinaut_questions"  # payload: empty; worker hosts may have something to answer
CANCEL_CHANNEL = "ordinaut_cancel"  # payload: the id of a run that is to stop


def after_commit(channel: str, payload: str = "") -> None:
    """Send a notification when the open transaction has committed; at once where none is open."""

    def send() -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_notify(%s, %s)", [channel, payload])

    transaction.on_commit(send, robust=True)
