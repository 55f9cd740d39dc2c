"""How answers are described: serializers that only write."""

from functools import cache
from typing import Any

from rest_framework import serializers


class Shape(serializers.Serializer[Any]):
    """The form of an answer."""


@cache
def page_shape(item: type[Shape]) -> type[Shape]:
    """The form of a page of `item`."""
    members = {
        "items": item(many=True),
        "next": serializers.URLField(allow_null=True, help_text="The page of older items; null on the last."),
        "prev": serializers.URLField(allow_null=True, help_text="The page of newer items; null on the first."),
        "__doc__": f"A page of {item.__name__.removesuffix('Shape').lower()}s, newest first.",
    }
    return type(f"{item.__name__.removesuffix('Shape')}Page", (Shape,), members)
