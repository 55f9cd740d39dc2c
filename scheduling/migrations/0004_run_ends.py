"""The trigger that tells the end of a watched run, and the vacuum settings of the table that it writes.

The condition stands in WHEN, so that for every other row no function is called.
"""

from django.db import migrations

TELL = """
CREATE FUNCTION ordinaut_tell_run_end() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO scheduling_runend (run_id, task_id) VALUES (OLD.run_id, OLD.task_id);
    RETURN NULL;
END
$$;
CREATE TRIGGER due_work_end_is_told
    AFTER DELETE ON scheduling_duework
    FOR EACH ROW WHEN (OLD.is_watched) EXECUTE FUNCTION ordinaut_tell_run_end();
ALTER TABLE scheduling_runend SET (
    fillfactor = 100,
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 5000,
    autovacuum_vacuum_cost_delay = 0
);
"""

STOP_TELLING = """
DROP TRIGGER due_work_end_is_told ON scheduling_duework;
DROP FUNCTION ordinaut_tell_run_end();
"""


class Migration(migrations.Migration):
    dependencies = [("scheduling", "0003_time")]

    operations = [migrations.RunSQL(TELL, STOP_TELLING)]
