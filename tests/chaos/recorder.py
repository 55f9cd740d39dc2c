"""Triggers in the round's own database that keep every change of a lease, of a step and of a run's state.

They write in the transaction of the change, under the lock that the change holds, so for one run the order of the ids
is the order in which the changes took effect. Nothing of the product knows of them.

One more lets the insertion of a task's runs hang for a while, as a fault (`schedule.hangs`).
"""

from dataclasses import dataclass
from datetime import datetime

import psycopg

_INSTALL = """
CREATE SCHEMA chaos;
CREATE TABLE chaos.change (
    id bigserial PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    xid text NOT NULL DEFAULT pg_current_xact_id()::text,
    app text NOT NULL DEFAULT current_setting('application_name'),
    what text NOT NULL, op text NOT NULL, run_id uuid NOT NULL,
    path text NOT NULL DEFAULT '', attempt int NOT NULL DEFAULT 0, state text NOT NULL DEFAULT '',
    owner uuid, was_owner uuid, epoch bigint, was_epoch bigint, gate text, key text,
    task_id uuid, is_exclusive boolean NOT NULL DEFAULT false, is_live boolean NOT NULL DEFAULT true,
    queue text, claimed_at timestamptz
);
CREATE FUNCTION chaos.of_work() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        INSERT INTO chaos.change (what, op, run_id, was_owner, was_epoch, key, task_id, is_exclusive, is_live)
        VALUES ('work', TG_OP, OLD.run_id, OLD.lease_owner, OLD.lease_epoch, OLD.concurrency_key, OLD.task_id,
                OLD.is_exclusive, false);
    ELSIF TG_OP = 'INSERT' THEN
        INSERT INTO chaos.change (what, op, run_id, owner, epoch, gate, key, task_id, is_exclusive)
        VALUES ('work', TG_OP, NEW.run_id, NEW.lease_owner, NEW.lease_epoch, NEW.gate, NEW.concurrency_key,
                NEW.task_id, NEW.is_exclusive);
    ELSIF (NEW.lease_owner, NEW.lease_epoch, NEW.gate, NEW.is_exclusive)
            IS DISTINCT FROM (OLD.lease_owner, OLD.lease_epoch, OLD.gate, OLD.is_exclusive) THEN
        INSERT INTO chaos.change (
            what, op, run_id, owner, was_owner, epoch, was_epoch, gate, key, task_id, is_exclusive, queue, claimed_at
        )
        VALUES ('work', TG_OP, NEW.run_id, NEW.lease_owner, OLD.lease_owner, NEW.lease_epoch, OLD.lease_epoch,
                NEW.gate, NEW.concurrency_key, NEW.task_id, NEW.is_exclusive, NEW.queue, NEW.claimed_at);
    END IF;
    RETURN NULL;
END $$;
CREATE FUNCTION chaos.of_step() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO chaos.change (what, op, run_id, path, attempt, state)
    VALUES ('step', TG_OP, NEW.run_id, NEW.path, NEW.attempt, NEW.state);
    RETURN NULL;
END $$;
CREATE FUNCTION chaos.of_run() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO chaos.change (what, op, run_id, attempt, state)
    VALUES ('run', TG_OP, NEW.id, NEW.attempt, NEW.state);
    RETURN NULL;
END $$;
CREATE TABLE chaos.hanging (task_id uuid NOT NULL, until timestamptz NOT NULL);
CREATE FUNCTION chaos.hang() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    WHILE EXISTS (SELECT FROM chaos.hanging WHERE task_id = NEW.task_id AND until > clock_timestamp()) LOOP
        PERFORM pg_sleep(0.05);
    END LOOP;
    RETURN NEW;
END $$;
CREATE TRIGGER chaos_hang BEFORE INSERT ON scheduling_run FOR EACH ROW WHEN (NEW.schedule_id IS NOT NULL)
    EXECUTE FUNCTION chaos.hang();
CREATE TRIGGER chaos_work AFTER INSERT OR UPDATE OR DELETE ON scheduling_duework
    FOR EACH ROW EXECUTE FUNCTION chaos.of_work();
CREATE TRIGGER chaos_step AFTER INSERT OR UPDATE ON workers_steprun FOR EACH ROW EXECUTE FUNCTION chaos.of_step();
CREATE TRIGGER chaos_run AFTER INSERT OR UPDATE ON scheduling_run FOR EACH ROW EXECUTE FUNCTION chaos.of_run();
"""
_READ = """
SELECT id, at, xid, app, what, op, run_id::text, path, attempt, state, owner::text, was_owner::text, epoch, was_epoch,
    gate, key, task_id::text, is_exclusive, is_live, queue, claimed_at
FROM chaos.change ORDER BY id
"""


@dataclass(frozen=True, slots=True)
class Change:
    """`what`: work, step or run. Of work: the lease and gate after it, and the lease before. `app`: who wrote it."""

    id: int
    at: datetime
    xid: str
    app: str
    what: str
    op: str
    run: str
    path: str = ""
    attempt: int = 0
    state: str = ""
    owner: str | None = None
    was_owner: str | None = None
    epoch: int | None = None
    was_epoch: int | None = None
    gate: str | None = None
    key: str | None = None
    task: str | None = None
    is_exclusive: bool = False
    is_live: bool = True
    queue: str | None = None
    claimed_at: datetime | None = None


def install(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(_INSTALL.encode())


def read(url: str) -> list[Change]:
    with psycopg.connect(url, autocommit=True) as connection:
        return [Change(*row) for row in connection.execute(_READ.encode())]
