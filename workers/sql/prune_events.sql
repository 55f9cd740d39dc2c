/* ordinaut: prune_events */
-- Purpose: delete events of a certain age that no run names and that Redis has; a run's event stays as long as the run.
-- Those that tell clocks with which release of the zone data marks agree (scheduling.clock.zones) stay, a few a year.
-- A page of the next "look" events is read; the columns are those of all prunings: how many were deleted, how far was
-- looked, the first row passed over, and whether nothing is left to look at.
-- OFFSET 0: as in delete_runs. Index: primary key, a UUIDv7; run_event_unique (event first), the outbox's unique event. Locks: the rows it deletes.
WITH page AS MATERIALIZED (
    SELECT event.id, event.created_at, event.topic = 'zones.updated' AND event.agent_id IS NULL AS is_remembered
    FROM scheduling_event event
    WHERE event.id >= %(after)s::text::uuid AND event.id < %(before)s::uuid
    ORDER BY event.id
    LIMIT %(look)s
), old AS MATERIALIZED (
    SELECT page.id
    FROM page
    WHERE page.created_at < now() - %(age)s::interval AND NOT page.is_remembered
      AND NOT EXISTS (SELECT FROM scheduling_run run WHERE run.event_id = page.id OFFSET 0)
      AND NOT EXISTS (SELECT FROM scheduling_outbox outbox WHERE outbox.event_id = page.id OFFSET 0)
    ORDER BY page.id
    LIMIT %(limit)s
), gone AS (
    DELETE FROM scheduling_event event WHERE event.id = ANY(ARRAY(SELECT id FROM old))
    RETURNING event.id
)
SELECT
    (SELECT count(*) FROM gone),
    CASE
        WHEN (SELECT count(*) FROM old) = %(limit)s THEN (SELECT id::text FROM old ORDER BY id DESC LIMIT 1)
        ELSE (SELECT id::text FROM page ORDER BY id DESC LIMIT 1)
    END,
    (SELECT id::text FROM page WHERE id NOT IN (SELECT id FROM old) ORDER BY page.id LIMIT 1),
    (SELECT count(*) FROM page) < %(look)s AND (SELECT count(*) FROM old) < %(limit)s
