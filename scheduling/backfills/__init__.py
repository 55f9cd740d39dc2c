"""Backfills: the occurrences of a past range of a schedule, run after all.

    preview -> create -> [clock: a turn of the pacer after a pass that was not full] -> completed | canceled | failed

The clock moves a cursor through the range (`pacing`). A turn admits the next runs of a backfill and moves its cursor
in one transaction, so that a crash loses and doubles nothing, and only while fewer than `max_active` of its runs are
live: there is never a heap of backfilled work in front of what is live. Its runs have the lowest priority, too.
"""
