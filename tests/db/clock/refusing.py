"""A database that refuses some runs, as a constraint would that nobody thought of."""

from django.db import connection

from scheduling.models import Schedule


def refuse_runs_of(schedule: Schedule) -> None:
    """Every run of this schedule; until the transaction is rolled back, or `accept_all_runs`."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
            $$BEGIN RAISE EXCEPTION 'not this one' USING ERRCODE = 'check_violation'; END$$;
            CREATE TRIGGER refuse BEFORE INSERT ON scheduling_run FOR EACH ROW
                WHEN (NEW.schedule_id = '{schedule.id}') EXECUTE FUNCTION refuse();
            """
        )


def accept_all_runs() -> None:
    with connection.cursor() as cursor:
        cursor.execute("DROP TRIGGER refuse ON scheduling_run; DROP FUNCTION refuse()")
