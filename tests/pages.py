"""The requests that a page of the documentation shows, sent as they stand and held to the answers that it shows."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson

from tests.db.api.gateway import Gateway

DOCS = Path(__file__).resolve().parent.parent / "docs"
REQUEST = "```http\n"
_EXAMPLE = re.compile(r"```http\n(\w+) (\S+)\n(.*?)```\n\n```json\n(.*?)```", re.DOTALL)


def pages_with_requests() -> set[str]:
    return {str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md") if REQUEST in page.read_text(encoding="utf-8")}


def send_requests_of(
    page: str, api: Gateway, ids: dict[str, str], *, after_each: Callable[[], object] = lambda: None
) -> None:
    """Send each request of the page, in its order, and compare.

    An answer holds what the page shows of it, whatever it holds besides; `*` in a shown list is any one item.
    `{task}` in an address is the id that `ids` has for it, else that of the first task which the page made; and so with
    other things.
    """
    text = (DOCS / page).read_text(encoding="utf-8")
    examples = _EXAMPLE.findall(text)
    assert len(examples) == text.count(REQUEST) > 0, "a request has no answer below it"

    for method, address, body, shown in examples:
        answer = api.call(method, address.format(**ids), orjson.loads(body) if body else None)
        assert answer.status_code in (200, 201, 202), answer.content
        found: dict[str, Any] = orjson.loads(answer.content)
        expected: dict[str, Any] = orjson.loads(shown)
        assert {name: _as_shown(found[name], value) for name, value in expected.items()} == expected, address
        if "id" in found:
            ids.setdefault(address.rpartition("/")[2].removesuffix("s"), found["id"])
        after_each()


def _as_shown(found: Any, shown: Any) -> Any:
    if isinstance(shown, list) and isinstance(found, list) and len(shown) == len(found):
        return ["*" if wanted == "*" else item for item, wanted in zip(found, shown, strict=True)]
    return found
