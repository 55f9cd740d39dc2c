import hashlib

import orjson
import pytest

from tests.factories import RunFactory, StepRunFactory
from workers.models import Artifact
from workers.selectors import result_of, steps_of

pytestmark = pytest.mark.django_db(transaction=True)


def test_the_steps_of_a_run_come_in_the_order_of_the_journal():
    run = RunFactory()
    StepRunFactory()
    made = [StepRunFactory(run=run, path=path) for path in ("b", "a")]

    assert list(steps_of(run.pk)) == made


def test_a_large_result_is_read_from_its_artifact():
    content = orjson.dumps({"text": "x" * 50_000})
    digest = hashlib.sha256(content).hexdigest()
    Artifact.objects.create(digest=digest, content=content, size=len(content))

    step = StepRunFactory(output=None, output_artifact=digest)

    assert result_of(step) == {"text": "x" * 50_000}
    assert result_of(StepRunFactory(output={"n": 1})) == {"n": 1}
