"""The SQL of the hot path by name. Each statement is a file of its own in `workers/sql`, whose header says what it is
for, which index serves it and what it locks. The headers stay here; what is sent begins with the statement's name, so
that `pg_stat_activity` and `pg_stat_statements` show it."""

from pathlib import Path

_FOLDER = Path(__file__).parent / "sql"


def load(name: str) -> bytes:
    """The text of a statement without its header. Raises FileNotFoundError for a name there is no file of."""
    lines = (_FOLDER / f"{name}.sql").read_text(encoding="utf-8").splitlines()
    return "\n".join(line for line in lines if not line.lstrip().startswith("--")).encode()


def with_part(statement: bytes, part: bytes) -> bytes:
    """A statement of common table expressions with some more of them, ahead of its last SELECT."""
    head, select, tail = statement.rpartition(b"\nSELECT ")
    name, _, expressions = part.partition(b"\n")
    return name + head.partition(b"*/")[2] + b"\n" + expressions + select + tail


REGISTER = load("register")
CHANGE_STATE = load("change_state")
CLAIM = load("claim")
CLAIM_SUSPECT = load("claim_suspect")
SEE_SUSPECT = load("see_suspect")
NEXT_DUE = load("next_due")
CLAIM_FAIR = load("claim_fair")
FAIR_HEADS = load("fair_heads")
QUEUE_CONTROLS = load("queue_controls")
DUE_QUEUES = load("due_queues")
LOCK_BUCKET = load("lock_bucket")
BUCKET = load("bucket")
SPEND = load("spend")
HISTORY = load("history")
REVISIONS = load("revisions")
TASK_FACTS = load("task_facts")
EVENTS = load("events")
ANSWERS = load("answers")
SECRETS = load("secrets")
KEEP_ARTIFACT = load("keep_artifact")
JOURNAL = load("journal")
JOURNAL_WITH_QUESTIONS = with_part(JOURNAL, load("journal_questions"))
WATCH = load("watch")
RELEASE = load("release")
HOLD_BACK = load("hold_back")
RELEASE_UNKNOWN = load("release_unknown")
REFUND = load("refund")
BEAT = load("beat")
BEATS = load("beats")
DECLARE_LOST = load("declare_lost")
DECLARE_DEAD = load("declare_dead")
GIVE_AWAY = load("give_away")
STRAY_OWNERS = load("stray_owners")
OVERDUE = load("overdue")
HELD_BACK = load("held_back")
PRUNE_WAITS = load("prune_waits")
CLOSE_QUESTIONS = load("close_questions")
DEAD_TUPLES = load("dead_tuples")
OLDEST_SNAPSHOT = load("oldest_snapshot")
SAY_WHY = load("say_why")
OLD_RUNS = load("old_runs")
SURPLUS_RUNS = load("surplus_runs")
DELETE_RUNS = load("delete_runs")
PRUNE_EVENTS = load("prune_events")
PRUNE_ARTIFACTS = load("prune_artifacts")
PRUNE_MISSES = load("prune_misses")
PRUNE_EXECUTIONS = load("prune_executions")
PRUNE_REPLIES = load("prune_replies")
PRUNE_DEDUPE_KEYS = load("prune_dedupe_keys")
LOCK_IDLE_KEYS = load("lock_idle_keys")
PRUNE_KEYS = load("prune_keys")
PRUNE_WORKERS = load("prune_workers")
RETENTION_TURNS = load("retention_turns")
RETENTION_LOCK = load("retention_lock")
RETENTION_MARK = load("retention_mark")
RETENTION_MOVED = load("retention_moved")
