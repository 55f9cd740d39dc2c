"""What models cannot say: the epoch's sequence, append-only triggers, storage and vacuum settings of the hot tables.

Each setting follows a measurement that `docs/decisions/` records: results are stored uncompressed and out of line,
the queue is vacuumed by count and at full speed, because its rows live for milliseconds.
"""

from django.db import migrations

APPEND_ONLY = """
CREATE FUNCTION ordinaut_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME
        USING ERRCODE = 'integrity_constraint_violation',
              HINT = 'Write a new row; rows that stand are never changed or deleted.';
END
$$;
CREATE TRIGGER audit_entry_is_append_only
    BEFORE UPDATE OR DELETE ON scheduling_auditentry
    FOR EACH ROW EXECUTE FUNCTION ordinaut_refuse_change();
CREATE TRIGGER audit_entry_is_not_truncated
    BEFORE TRUNCATE ON scheduling_auditentry
    FOR EACH STATEMENT EXECUTE FUNCTION ordinaut_refuse_change();
CREATE TRIGGER task_revision_is_immutable
    BEFORE UPDATE ON scheduling_taskrevision
    FOR EACH ROW EXECUTE FUNCTION ordinaut_refuse_change();
"""

DROP_APPEND_ONLY = """
DROP TRIGGER task_revision_is_immutable ON scheduling_taskrevision;
DROP TRIGGER audit_entry_is_not_truncated ON scheduling_auditentry;
DROP TRIGGER audit_entry_is_append_only ON scheduling_auditentry;
DROP FUNCTION ordinaut_refuse_change();
"""

EPOCH = "CREATE SEQUENCE scheduling_lease_epoch AS bigint;"
DROP_EPOCH = "DROP SEQUENCE scheduling_lease_epoch;"

STORAGE = """
ALTER TABLE scheduling_run ALTER COLUMN params SET STORAGE EXTERNAL;
ALTER TABLE scheduling_run ALTER COLUMN output SET STORAGE EXTERNAL;
ALTER TABLE scheduling_run ALTER COLUMN error SET STORAGE EXTERNAL;
ALTER TABLE scheduling_duework SET (
    fillfactor = 100,
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 5000,
    autovacuum_vacuum_insert_scale_factor = 0,
    autovacuum_vacuum_insert_threshold = 5000,
    autovacuum_analyze_scale_factor = 0,
    autovacuum_analyze_threshold = 5000,
    autovacuum_vacuum_cost_delay = 0
);
"""

RESET_STORAGE = """
ALTER TABLE scheduling_run ALTER COLUMN params SET STORAGE EXTENDED;
ALTER TABLE scheduling_run ALTER COLUMN output SET STORAGE EXTENDED;
ALTER TABLE scheduling_run ALTER COLUMN error SET STORAGE EXTENDED;
ALTER TABLE scheduling_duework RESET (
    fillfactor,
    autovacuum_vacuum_scale_factor,
    autovacuum_vacuum_threshold,
    autovacuum_vacuum_insert_scale_factor,
    autovacuum_vacuum_insert_threshold,
    autovacuum_analyze_scale_factor,
    autovacuum_analyze_threshold,
    autovacuum_vacuum_cost_delay
);
"""


class Migration(migrations.Migration):
    dependencies = [("scheduling", "0001_initial")]

    operations = [
        migrations.RunSQL(EPOCH, DROP_EPOCH),
        migrations.RunSQL(APPEND_ONLY, DROP_APPEND_ONLY),
        migrations.RunSQL(STORAGE, RESET_STORAGE),
    ]
