/* ordinaut: say_why */
-- Purpose: note in a process's row why its supervisor replaces it. Index: primary key. Locks: its row.
UPDATE workers_worker SET stop_reason = %(reason)s WHERE boot_id = %(boot_id)s
