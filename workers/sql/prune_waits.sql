/* ordinaut: prune_waits */
-- Purpose: forget what runs waited for that have ended meanwhile (canceled while parked). Locks: the rows it deletes.
DELETE FROM workers_wait wait
WHERE NOT EXISTS (SELECT FROM scheduling_duework work WHERE work.run_id = wait.run_id)
