"""Cursor pages: `{items, next, prev}`, newest first, ordered by the unique id.

UUIDv7 ids sort by the time of their making, so a page costs one index range however deep it lies, and rows that come
in between shift nothing.
"""

import base64
import binascii
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from django.db.models import Model, QuerySet
from rest_framework.request import Request

from scheduling.api.parameters import InvalidParameters
from scheduling.errors import Problem

Row = TypeVar("Row", bound=Model)


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a page begins: after this id (older rows), or before it (newer rows)."""

    id: uuid.UUID
    is_backward: bool

    def text(self) -> str:
        raw = (b"p" if self.is_backward else b"n") + self.id.bytes
        return base64.urlsafe_b64encode(raw).decode().rstrip("=")

    @classmethod
    def read(cls, text: str) -> "Cursor":
        try:
            raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
            if len(raw) != 17 or raw[:1] not in (b"n", b"p"):
                raise ValueError("another form")
            return cls(uuid.UUID(bytes=raw[1:]), raw[:1] == b"p")
        except (ValueError, binascii.Error) as error:
            problem = Problem(pointer="/cursor", code="invalid_cursor", detail="This is no cursor of ours.")
            raise InvalidParameters(
                problem.detail, hint="Follow `next` and `prev` as they are.", problems=[problem]
            ) from error


def page_of(
    request: Request, rows: QuerySet[Row], given: dict[str, Any], show: Callable[[list[Row]], list[Any]]
) -> dict[str, Any]:
    """One page of `rows` (unordered, with UUIDv7 keys), as `show` turns a page's rows into JSON values."""
    limit: int = given["limit"]
    cursor = Cursor.read(given["cursor"]) if "cursor" in given else None
    if cursor is not None and cursor.is_backward:
        found = list(rows.filter(pk__gt=cursor.id).order_by("pk")[: limit + 1])
        is_more = len(found) > limit
        page = found[:limit][::-1]
        has_prev, has_next = is_more, True
    else:
        older = rows if cursor is None else rows.filter(pk__lt=cursor.id)
        found = list(older.order_by("-pk")[: limit + 1])
        page = found[:limit]
        has_prev, has_next = cursor is not None, len(found) > limit
    return {
        "items": show(page),
        "next": _link(request, Cursor(page[-1].pk, is_backward=False)) if page and has_next else None,
        "prev": _link(request, Cursor(page[0].pk, is_backward=True)) if page and has_prev else None,
    }


def _link(request: Request, cursor: Cursor) -> str:
    query = request.query_params.copy()
    query["cursor"] = cursor.text()
    return request.build_absolute_uri(f"{request.path}?{query.urlencode()}")
