/* ordinaut: prune_events */
-- Purpose: delete events of a certain age that no run names, that Redis has, and that no live run may yet take. A run's
-- event stays as long as the run; a live run whose pipeline has a wait_for_event takes events of its lifetime, so those
-- that came after the oldest such run was made stay.
-- Those that tell clocks with which release of the zone data marks agree (scheduling.clock.zones) stay, a few a year.
-- A page of the next "look" events is read, and of the live runs that are older than what may be deleted the first
-- thousand; what follows those, made a day before the next at the earliest, is taken for one that waits. The columns are
-- those of all prunings: how many were deleted, how far was looked, the first row passed over, and whether nothing is left
-- to look at.
-- OFFSET 0: as in delete_runs. Index: primary keys of events (a UUIDv7), due work, runs and revisions; run_event_unique
-- (event first), the outbox's unique event. Locks: the rows it deletes.
WITH page AS MATERIALIZED (
    SELECT event.id, event.created_at, event.topic = 'zones.updated' AND event.agent_id IS NULL AS is_remembered
    FROM scheduling_event event
    WHERE event.id >= %(after)s::text::uuid AND event.id < %(before)s::uuid
    ORDER BY event.id
    LIMIT %(look)s
), live AS MATERIALIZED (
    SELECT work.run_id, row_number() OVER (ORDER BY work.run_id) AS place
    FROM scheduling_duework work
    WHERE work.run_id < %(made_before)s::uuid
    ORDER BY work.run_id
    LIMIT 1001
), awaited AS MATERIALIZED (
    SELECT min(CASE WHEN live.place > 1000 THEN run.created_at - interval '1 day' ELSE run.created_at END) AS since
    FROM live
    CROSS JOIN LATERAL (SELECT * FROM scheduling_run named WHERE named.id = live.run_id OFFSET 0) AS run
    WHERE live.place > 1000 OR (
        SELECT position(convert_to('"wait_for_event"', 'UTF8') IN revision.document) > 0
        FROM scheduling_taskrevision revision WHERE revision.id = run.revision_id
    )
), old AS MATERIALIZED (
    SELECT page.id
    FROM page
    WHERE page.created_at < now() - %(age)s::interval AND NOT page.is_remembered
      AND page.created_at < COALESCE((SELECT since FROM awaited), 'infinity')
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
