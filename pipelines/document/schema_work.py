"""How much work it is to check a value against a JSON Schema, known before the check is made.

A validator follows references wherever they lead: a schema of 3 kB whose definitions each name the next one twice
expands to more parts than any check will ever end with. The check is native code that nothing can interrupt, so it is
not begun where it may not end. A schema that expands to too many parts, or refers to itself without going into the
value, is refused when it is compiled; one that refers to itself inside of the value, or meets a large value, is
measured against that value first.

The measure counts how often a validator that never stops early looks at a part of the schema with a part of the value.
Each pair of parts is computed once, whatever number of ways leads to it.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import unquote, urldefrag, urljoin

# Looks that a check may take: some 0.1 µs each.
MOST_WORK: Final = 30_000_000
# Parts of a schema with all references followed.
MOST_PARTS: Final = 10_000
# Pairs of parts that are computed to measure one value: some microseconds each.
_MOST_PAIRS: Final = 50_000
# References and applicators one inside of the other.
_MOST_DEEP: Final = 200

_SINGLE: Final = ("not", "if", "then", "else")
_LISTS: Final = ("allOf", "anyOf", "oneOf")
_OF_ALL_MEMBERS: Final = ("additionalProperties", "unevaluatedProperties")
_OF_ALL_ITEMS: Final = ("items", "contains", "unevaluatedItems")
_KNOWN_RESOURCES: Final = ("https://json-schema.org/", "http://json-schema.org/")


class TooMuchWork(ValueError):  # a statement about the schema
    """A check against this schema, or of this value against it, may not end in time."""


class _Parts(NamedTuple):
    """The schemas inside of one: those for the same value, and those for values in it."""

    same: list[Any]
    members: dict[str, Any]
    patterns: list[Any]
    all_members: list[Any]
    first_items: list[Any]
    all_items: list[Any]

    def all(self) -> Iterator[Any]:
        yield from self.same
        yield from self.members.values()
        for several in (self.patterns, self.all_members, self.first_items, self.all_items):
            yield from several


class Meter:
    """Measures values against one schema. Raises TooMuchWork for a schema that is too much whatever the value."""

    def __init__(self, source: Any) -> None:
        self._source = source
        self._resources: dict[int, Any] = {}
        self._ids: dict[str, Any] = {}
        self._anchors: dict[tuple[int, str], Any] = {}
        self._index(source, source, "")
        self._known: dict[int, _Parts] = {}
        self._refers_to_itself = False
        self._refuse_circles()
        self.parts = self._count(source, {}, set(), 0)
        if self.parts > MOST_PARTS:
            raise TooMuchWork(
                f"with its references followed the schema has more than {MOST_PARTS} parts; name each one less often"
            )

    def require_bearable(self, value: Any) -> None:
        """Raises TooMuchWork where a check of `value` may not end in time. Cheap for what is small."""
        if not self._refers_to_itself and not _has_more_than(value, MOST_WORK // self.parts):
            return
        pairs: dict[tuple[int, int], int] = {}
        if self._work(self._source, value, pairs, 0) > MOST_WORK:
            raise TooMuchWork("to check this value against its schema would take too long")

    # The schema

    def _index(self, part: Any, resource: Any, base: str) -> None:
        """Find the identifiers and anchors. Iterative: a schema may be deep."""
        left = [(part, resource, base)]
        while left:
            part, resource, base = left.pop()
            if isinstance(part, Mapping):
                if isinstance(name := part.get("$id"), str):
                    resource, base = part, urljoin(base, name)
                    self._ids[urldefrag(base).url] = part
                self._resources[id(part)] = (resource, base)
                for keyword in ("$anchor", "$dynamicAnchor"):
                    if isinstance(anchor := part.get(keyword), str):
                        self._anchors[id(resource), anchor] = part
                left.extend((inner, resource, base) for inner in part.values())
            elif isinstance(part, list):
                left.extend((inner, resource, base) for inner in part)

    def _target(self, referrer: Mapping[str, Any], reference: str) -> Any:
        """What a reference leads to; None for the published schemas of JSON Schema itself, which are harmless."""
        if reference.startswith(_KNOWN_RESOURCES):
            return None
        resource, base = self._resources[id(referrer)]
        uri, fragment = urldefrag(reference)
        if uri:
            resource = self._ids.get(urldefrag(urljoin(base, uri)).url)
        if resource is None:
            raise TooMuchWork(f"the reference {reference} leads out of the schema")
        if fragment and not fragment.startswith("/"):
            found = self._anchors.get((id(resource), unquote(fragment)))
        else:
            found = _at_pointer(resource, unquote(fragment))
        if found is None:
            raise TooMuchWork(f"the reference {reference} leads to nothing")
        return found

    def _parts(self, part: Mapping[str, Any]) -> _Parts:
        known = self._known.get(id(part))
        if known is None:
            known = self._known[id(part)] = self._find_parts(part)
        return known

    def _find_parts(self, part: Mapping[str, Any]) -> _Parts:
        same = [part[word] for word in _SINGLE if word in part]
        for word in _LISTS:
            same.extend(_list(part.get(word)))
        same.extend(_mapping(part.get("dependentSchemas")).values())
        for word in ("$ref", "$dynamicRef"):
            if isinstance(reference := part.get(word), str):
                same.append(self._target(part, reference))
        return _Parts(
            same=_schemas(same),
            members={
                name: each for name, each in _mapping(part.get("properties")).items() if isinstance(each, Mapping)
            },
            patterns=_schemas([*_mapping(part.get("patternProperties")).values(), part.get("propertyNames")]),
            all_members=_schemas(part.get(word) for word in _OF_ALL_MEMBERS),
            first_items=_list(part.get("prefixItems")),
            all_items=_schemas(part.get(word) for word in _OF_ALL_ITEMS),
        )

    def _refuse_circles(self) -> None:
        """Every part from which the value is not gone into and that comes back to itself would be checked for ever."""
        done: set[int] = set()
        left = [self._source]
        seen: set[int] = set()
        while left:
            part = left.pop()
            if not isinstance(part, Mapping) or id(part) in seen:
                continue
            seen.add(id(part))
            self._walk_same(part, done, set(), 0)
            left.extend(self._parts(part).all())

    def _walk_same(self, part: Any, done: set[int], open_parts: set[int], depth: int) -> None:
        if not isinstance(part, Mapping) or id(part) in done:
            return
        if id(part) in open_parts:
            raise TooMuchWork("the schema refers to itself without going into the value")
        _require_shallow(depth)
        open_parts.add(id(part))
        for inner in self._parts(part).same:
            self._walk_same(inner, done, open_parts, depth + 1)
        open_parts.discard(id(part))
        done.add(id(part))

    def _count(self, part: Any, counted: dict[int, int], open_parts: set[int], depth: int) -> int:
        """How many parts there are, references followed. Those that lead back count once, and the values decide."""
        if not isinstance(part, Mapping):
            return 1
        if id(part) in counted:
            return counted[id(part)]
        if id(part) in open_parts:
            self._refers_to_itself = True
            return 1
        _require_shallow(depth)
        open_parts.add(id(part))
        parts = self._parts(part)
        total = 1 + sum(self._count(inner, counted, open_parts, depth + 1) for inner in parts.all())
        open_parts.discard(id(part))
        counted[id(part)] = min(total, MOST_PARTS + 1)
        return counted[id(part)]

    # A value

    def _work(self, part: Any, value: Any, pairs: dict[tuple[int, int], int], depth: int) -> int:
        if not isinstance(part, Mapping):
            return 1
        is_inside = isinstance(value, Mapping | list)
        pair = id(part), id(value) if is_inside else 0
        if pair in pairs:
            return pairs[pair]
        _require_shallow(depth)
        if len(pairs) >= _MOST_PAIRS:
            raise TooMuchWork("to check this value against its schema would take too long")
        pairs[pair] = MOST_WORK + 1  # none leads back to itself
        parts = self._parts(part)
        total = 1 + sum(self._work(inner, value, pairs, depth + 1) for inner in parts.same)
        for inner, each in _inside(parts, value):
            total += self._work(inner, each, pairs, depth + 1)
            if total > MOST_WORK:
                break
        pairs[pair] = min(total, MOST_WORK + 1)
        return pairs[pair]


def _inside(parts: _Parts, value: Any) -> Iterator[tuple[Any, Any]]:
    """The parts of the schema with the parts of the value that they are for."""
    if isinstance(value, Mapping):
        for name, each in value.items():
            if name in parts.members:
                yield parts.members[name], each
            for inner in (*parts.patterns, *parts.all_members):
                yield inner, each
    elif isinstance(value, list):
        yield from zip(parts.first_items, value, strict=False)
        for inner in parts.all_items:
            for each in value:
                yield inner, each


def _has_more_than(value: Any, most: int) -> bool:
    """Whether a value has more than so many parts; looks at no more of them."""
    left, count = [value], 0
    while left:
        count += len(left)
        if count > most:
            return True
        left = [
            each
            for part in left
            if isinstance(part, dict | list)
            for each in (part.values() if isinstance(part, dict) else part)
        ]
    return False


def _require_shallow(depth: int) -> None:
    if depth > _MOST_DEEP:
        raise TooMuchWork(f"the schema has more than {_MOST_DEEP} references and parts one inside of the other")


def _at_pointer(resource: Any, pointer: str) -> Any:
    found = resource
    for token in pointer.split("/")[1:]:
        name = token.replace("~1", "/").replace("~0", "~")
        if isinstance(found, Mapping):
            found = found.get(name)
        elif isinstance(found, list) and name.isdecimal() and int(name) < len(found):
            found = found[int(name)]
        else:
            return None
    return found


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _schemas(parts: Any) -> list[Any]:
    return [part for part in parts if isinstance(part, Mapping)]
