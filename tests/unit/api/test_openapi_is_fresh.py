"""The committed description of the API is the one that the code gives."""

import re
from pathlib import Path

from drf_spectacular.renderers import OpenApiYamlRenderer
from drf_spectacular.validation import validate_schema

from ordinaut_project.documentation import openapi_document
from scheduling.api import problems

ROOT = Path(__file__).parents[3]
COMMITTED = ROOT / "docs" / "reference" / "openapi.yaml"
MAKE = "manage.py spectacular --validate --fail-on-warn --file docs/reference/openapi.yaml"


def test_the_committed_description_is_fresh():
    fresh = OpenApiYamlRenderer().render(openapi_document(), renderer_context={}).decode()

    assert COMMITTED.read_text(encoding="utf-8") == fresh, f"run: {MAKE}"


def test_the_description_is_valid_openapi():
    validate_schema(openapi_document())


def test_every_code_of_the_errors_page_is_used_and_every_class_is_on_it():
    from scheduling import errors

    page = (ROOT / "docs" / "reference" / "errors.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE))
    sources = "".join(
        path.read_text(encoding="utf-8")
        for folder in ("scheduling", "ordinaut_project", "pipelines", "workers")
        for path in (ROOT / folder).rglob("*.py")
    )

    # DRF names these itself.
    own = {code for code in listed if f'"{code}"' not in sources} - {"method_not_allowed", "not_a_list", "throttled"}
    assert own == set()
    for name in vars(errors).values():
        if isinstance(name, type) and issubclass(name, errors.SchedulingError) and name is not errors.SchedulingError:
            assert name.code in listed
    assert set(problems._HINTS) <= listed
