"""Whatever is sent: a problem document that names the place and the fix, and nothing stored."""

import orjson
import pytest

from scheduling.api.bodies import BODY_LIMIT
from scheduling.models import AuditEntry, Event, IdempotencyRecord, Run, Schedule, Task, TaskRevision
from tests.db.api.gateway import DAILY, NOTE, Gateway, assert_problem, gateway_of, pointers
from tests.factories import TaskFactory

pytestmark = pytest.mark.django_db

TASK = {"key": "note", "pipeline": NOTE}
DEEP = b'{"a":' * 100 + b"1" + b"}" * 100


def step(**changes):
    return {
        "key": "note",
        "pipeline": {"version": 1, "steps": [{"uses": "log.write", "with": {"message": "a"}, **changes}]},
    }


def nothing_is_stored() -> bool:
    tables = (
        Task,
        TaskRevision,
        Schedule,
        Run,
        Event,
        IdempotencyRecord,
        AuditEntry.objects.exclude(action="token.issue"),
    )
    return not any((table.objects if hasattr(table, "objects") else table).exists() for table in tables)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 400, "malformed_json"),
        (b"", 422, "not_valid"),
        (b"nothing", 400, "malformed_json"),
        (b'{"key": NaN}', 400, "malformed_json"),
        (b'{"key": Infinity}', 400, "malformed_json"),
        (b'{"key": "\xff"}', 400, "malformed_json"),
        (b'{"key": "\\ud800"}', 400, "malformed_json"),
        ('{"key": "a"}'.encode("utf-16"), 400, "malformed_json"),
        (b"[" * 100_000 + b"]" * 100_000, 400, "too_deep"),
        (b"[" * 100_000, 400, "too_deep"),
        (b'{"a":' * 100_000, 400, "too_deep"),
        (DEEP, 400, "too_deep"),
        (b"[" + b"0," * BODY_LIMIT + b"0]", 413, "body_too_large"),
        (b"[]", 422, "not_valid"),
        (b'"text"', 422, "not_valid"),
        (b"5", 422, "not_valid"),
        (b"null", 422, "not_valid"),
        (b"key: note\npipeline: {}\n", 400, "malformed_json"),
    ],
)
def test_a_body_that_is_no_task_is_refused(api, body, status, code):
    assert_problem(api.call("POST", "tasks", body), status, code)

    assert nothing_is_stored()


@pytest.mark.parametrize(
    ("body", "pointer", "code"),
    [
        ({**TASK, "titel": "x"}, "/titel", "unknown_field"),
        ({**TASK, "a/b~c": "x"}, "/a~1b~0c", "unknown_field"),
        ({**TASK, "id": "x"}, "/id", "unknown_field"),
        ({**TASK, "agent": "x"}, "/agent", "unknown_field"),
        ({**TASK, "state": "paused"}, "/state", "unknown_field"),
        ({**TASK, "title": "a\x00b"}, "/title", "nul_character"),
        ({**TASK, "params": {"a\x00": 1}}, "/params", "nul_character"),
        ({**TASK, "params": {"n": 2**53 + 1}}, "/params/n", "integer_too_large"),
        (b'{"title": "x", "params": {"n": 1180591620717411303424}}', "/params/n", "integer_too_large"),
        (b'{"title": "x", "params": {"n": [-18446744073709551616]}}', "/params/n/0", "integer_too_large"),
        ({**TASK, "title": 5}, "/title", "wrong_type"),
        ({**TASK, "title": ""}, "/title", "empty"),
        ({**TASK, "title": None}, "/title", "null_not_allowed"),
        ({**TASK, "title": "x" * 201}, "/title", "max_length"),
        ({**TASK, "priority": 0}, "/priority", "min_value"),
        ({**TASK, "priority": 10**15}, "/priority", "max_value"),
        ({**TASK, "priority": True}, "/priority", "wrong_type"),
        ({**TASK, "priority": 1.5}, "/priority", "wrong_type"),
        ({**TASK, "simulate": 1}, "/simulate", "wrong_type"),
        ({**TASK, "queue": "a b"}, "/queue", "invalid_slug"),
        ({**TASK, "overlap": "never"}, "/overlap", "unknown_choice"),
        ({**TASK, "overlap": ["skip"]}, "/overlap", "unknown_choice"),
        ({**TASK, "timeout": 30}, "/timeout", "wrong_type"),
        ({**TASK, "timeout": "P1Y"}, "/timeout", "invalid_duration"),
        ({**TASK, "timeout": "-PT5S"}, "/timeout", "invalid_duration"),
        ({**TASK, "timeout": "PT0S"}, "/timeout", "out_of_range"),
        ({**TASK, "timeout": "P99999999999W"}, "/timeout", "invalid_duration"),
        ({**TASK, "params": []}, "/params", "not_an_object"),
        ({**TASK, "labels": {"a": {"b": "c"}}}, "/labels", "wrong_type"),
        ({**TASK, "concurrency": {"key": "x"}}, "/concurrency/limit", "required"),
        ({**TASK, "dedupe": {"key": "x", "window": "PT0S"}}, "/dedupe/window", "out_of_range"),
        ({**TASK, "concurrency": {"key": "${params.x", "limit": 1}}, "/concurrency/key", "unclosed_template"),
        ({**TASK, "concurrency": {"key": "${other.x}", "limit": 1}}, "/concurrency/key", None),
        ({**TASK, "dedupe": {"key": "${nosuch(1)}", "window": "PT1H"}}, "/dedupe/key", "unknown_function"),
        ({**TASK, "retry": {"on": "timeout"}}, "/retry/on", "not_a_list"),
        ({**TASK, "schedules": {}}, "/schedules", "not_a_list"),
        ({**TASK, "schedules": [5]}, "/schedules/0", "not_an_object"),
        ({**TASK, "schedules": [{**DAILY, "timezone": "Mars/Base"}]}, "/schedules/0/timezone", "unknown_timezone"),
        ({"pipeline": NOTE}, "/key", "required"),
        ({"key": "note"}, "/pipeline", "required"),
        ({"key": "note", "pipeline": None}, "/pipeline", "null_not_allowed"),
        ({"key": "note", "pipeline": 5}, "/pipeline", "wrong_type"),
        (step(uses="no.such_tool"), "/pipeline/steps/0/uses", "unknown_tool"),
        (step(**{"with": {"message": "${a..b}"}}), "/pipeline/steps/0/with/message", None),
        (step(**{"with": {"message": "${params.x"}}), "/pipeline/steps/0/with/message", None),
        (step(**{"with": {"message": "${nosuch(1)}"}}), "/pipeline/steps/0/with/message", None),
        (step(colour="blue"), "/pipeline/steps/0/colour", None),
        ({"key": "note", "pipeline": "steps: [\n"}, "/pipeline", None),
        ({"key": "note", "pipeline": {"document": "steps: [\n"}}, "/pipeline/document", None),
        ({"key": "note", "pipeline": {"document": {"steps": []}}}, "/pipeline/document/steps", "empty"),
        ({"key": "note", "pipeline": {"document": NOTE, "x": 1}}, "/pipeline/document", "unknown_field"),
        ({"key": "note", "pipeline": {"document": 5}}, "/pipeline", "wrong_type"),
        ({"key": "note", "pipeline": "a: &a [*a]\n"}, "/pipeline", None),
        ({"key": "note", "pipeline": "!!python/object:os.system x"}, "/pipeline", None),
    ],
)
def test_a_task_that_is_wrong_somewhere_is_refused_there(api, body, pointer, code):
    problem = assert_problem(api.post("tasks", body), 422, "not_valid")

    found = {error["pointer"]: error for error in problem["errors"]}
    assert pointer in found, found
    assert code is None or found[pointer]["code"] == code
    assert found[pointer]["detail"]
    assert nothing_is_stored()


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("limt=5", "/limt"),
        ("limit=0", "/limit"),
        ("limit=201", "/limit"),
        ("limit=x", "/limit"),
        ("limit=5&limit=6", "/limit"),
        ("cursor=rubbish", "/cursor"),
        ("cursor=%00", "/cursor"),
        ("state=gone", "/state"),
        ("format=html", "/format"),
    ],
)
def test_a_parameter_that_is_wrong_is_refused_by_name(api, query, name):
    problem = assert_problem(api.get(f"tasks?{query}"), 400, "invalid_parameter")

    assert pointers(problem) == {name}


def test_a_parameter_that_an_address_does_not_take_is_refused(api):
    task = TaskFactory(agent=api.agent)

    assert_problem(api.get(f"tasks/{task.pk}?verbose=1"), 400, "invalid_parameter")
    assert_problem(api.post(f"tasks/{task.pk}/run?simulate=true"), 400, "invalid_parameter")


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "nothing", 404, "not_found"),
        ("GET", "tasks/", 404, "not_found"),
        ("GET", "tasks/not-a-uuid", 404, "not_found"),
        ("GET", "tasks/00000000-0000-7000-8000-000000000000", 404, "not_found"),
        ("DELETE", "tasks", 405, "method_not_allowed"),
        ("OPTIONS", "tasks", 405, "method_not_allowed"),
        ("TRACE", "tasks", 405, "method_not_allowed"),
        ("GET", "/api/v2/tasks", 404, "not_found"),
    ],
)
def test_an_address_that_is_wrong_is_a_problem_too(api, method, path, status, code):
    assert_problem(api.call(method, path), status, code)


def test_other_media_types_are_refused_both_ways(api):
    form = api.call("POST", "tasks", b"key=note", content_type="application/x-www-form-urlencoded")
    yaml = api.call("POST", "tasks", b"key: note", content_type="application/yaml")
    html = api.get("tasks", headers={"Accept": "text/html"})

    assert_problem(form, 415, "unsupported_media_type")
    assert_problem(yaml, 415, "unsupported_media_type")
    assert_problem(html, 406, "not_acceptable")
    assert api.get("tasks", headers={"Accept": "application/problem+json"}).status_code == 200


def test_a_declared_length_past_the_limit_is_refused_before_reading(api):
    answer = api.call("POST", "tasks", b"{}", CONTENT_LENGTH=str(BODY_LIMIT + 1))

    assert_problem(answer, 413, "body_too_large")


def test_an_unknown_host_is_a_problem(api):
    assert_problem(api.get("tasks", HTTP_HOST="evil.example"), 400, "bad_request")


@pytest.mark.parametrize(
    "header",
    [
        "Bearer",
        "Bearer ",
        "Bearer ord_000000000000_" + "x" * 43,
        "Bearer 00000000-0000-0000-0000-000000000001",
        "bearer é",
    ],
)
def test_a_bad_token_is_challenged(db, header):
    answer = Gateway(None).get("tasks", headers={"Authorization": header})

    assert_problem(answer, 401, "invalid_token")
    assert answer["WWW-Authenticate"] == 'Bearer realm="ordinaut", error="invalid_token"'


@pytest.mark.parametrize("header", [None, "Basic YTpi", "Token abc"])
def test_a_missing_token_is_challenged(db, header):
    answer = Gateway(None).get("tasks", headers={} if header is None else {"Authorization": header})

    assert_problem(answer, 401, "not_authenticated")
    assert answer["WWW-Authenticate"].startswith('Bearer realm="ordinaut"')


def test_an_error_of_ours_says_nothing_of_itself(api, monkeypatch, caplog):
    from scheduling.tasks import operations

    def explode(**_):
        raise RuntimeError("secret detail of the inside")

    monkeypatch.setattr(operations, "create_task", explode)

    answer = api.post("tasks", TASK)

    problem = assert_problem(answer, 500, "internal_error")
    assert "secret" not in orjson.dumps(problem).decode()
    assert "RuntimeError" in caplog.text


def test_text_of_every_language_survives(api):
    title = "Привет, 你好, مرحبا, 👩‍🚀"

    task = api.post("tasks", {**TASK, "title": title}).json()

    assert api.get(f"tasks/{task['id']}").json()["title"] == title


def test_a_foreign_object_answers_like_a_missing_one(api):
    foreign = gateway_of()
    task = foreign.post("tasks", {**TASK, "schedules": [DAILY]}).json()
    run = foreign.post(f"tasks/{task['id']}/run").json()
    missing = "00000000-0000-7000-8000-000000000000"

    for method, path, own in (
        ("GET", "tasks/{}", task["id"]),
        ("PATCH", "tasks/{}", task["id"]),
        ("DELETE", "tasks/{}", task["id"]),
        ("POST", "tasks/{}/run", task["id"]),
        ("POST", "tasks/{}/pause", task["id"]),
        ("GET", "tasks/{}/schedules", task["id"]),
        ("GET", "schedules/{}", task["schedules"][0]["id"]),
        ("PATCH", "schedules/{}", task["schedules"][0]["id"]),
        ("GET", "runs/{}", run["id"]),
        ("GET", "runs/{}/steps", run["id"]),
        ("POST", "runs/{}/cancel", run["id"]),
    ):
        body: dict[str, str] | None = None if method == "GET" else {}
        theirs = assert_problem(api.call(method, path.format(own), body), 404, "not_found")
        nobodys = assert_problem(api.call(method, path.format(missing), body), 404, "not_found")
        for name in ("instance", "request_id"):
            theirs.pop(name), nobodys.pop(name)
        assert theirs == nobodys
    assert api.get("tasks").json()["items"] == []
    assert api.get("runs").json()["items"] == []
    assert api.get(f"runs?task={task['id']}").json()["items"] == []


def test_who_sees_all_may_not_change_all(db):
    task = gateway_of().post("tasks", TASK).json()
    reader = gateway_of("all:read", "tasks:read", "tasks:write")
    writer = gateway_of("all:read", "all:write", "tasks:read", "tasks:write")

    assert reader.get(f"tasks/{task['id']}").status_code == 200
    assert_problem(reader.patch(f"tasks/{task['id']}", {"priority": 1}), 403, "scope_missing")
    assert writer.patch(f"tasks/{task['id']}", {"priority": 1}).status_code == 200
