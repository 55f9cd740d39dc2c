"""JSON and YAML as blocks of code, escaped, with a simple highlight. Whatever stands in them is text, never markup."""

import re
from io import StringIO
from typing import Any

import orjson
from django.utils.html import conditional_escape, format_html
from django.utils.safestring import SafeString, mark_safe
from ruamel.yaml import YAML

_LONGEST = 12_000  # characters of one block; the object's own page or the API has the rest

_JSON_PARTS = re.compile(
    r"""(?P<key>"(?:[^"\\]|\\.)*")(?=\s*:)"""
    r"""|(?P<text>"(?:[^"\\]|\\.)*")"""
    r"""|(?P<number>-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)"""
    r"""|(?P<word>\btrue\b|\bfalse\b|\bnull\b)"""
)
_YAML_PARTS = re.compile(
    r"""(?P<key>^[ ]*(?:-[ ]+)*[\w.-]+(?=:(?:[ ]|$)))"""
    r"""|(?P<text>\$\{[^}\n]*\}*)"""
    r"""|(?P<word>(?<=:[ ])(?:true|false|null)$)"""
    r"""|(?P<number>(?<=:[ ])-?\d+(?:\.\d+)?$)""",
    re.MULTILINE,
)


def json_text(value: Any) -> str:
    """Indented JSON. A value that JSON cannot say is shown as its text."""
    return orjson.dumps(value, default=str, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS).decode()


def yaml_text(document: Any) -> str:
    """Block-style YAML 1.2 in the order of the document, as people write pipelines."""
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    yaml.allow_unicode = True
    yaml.width = 110
    written = StringIO()
    yaml.dump(document, written)
    return written.getvalue()


def json_block(value: Any) -> SafeString:
    """The value as highlighted JSON; a dash where there is none."""
    if value is None:
        return mark_safe('<span class="ord-none">–</span>')  # noqa: RUF001 (a dash)
    return _block(json_text(value), _JSON_PARTS)


def yaml_block(document: Any) -> SafeString:
    return _block(yaml_text(document), _YAML_PARTS)


def text_block(text: str) -> SafeString:
    """The text as it stands, highlighted as JSON where it is some."""
    return _block(text, _JSON_PARTS)


def folded_json(label: str, value: Any, *, opened: bool = False) -> SafeString:
    """A block behind a summary line. Nothing at all for None: a fold that opens on nothing is in the way."""
    if value is None:
        return SafeString("")
    return format_html(
        '<details class="ord-fold"{}><summary>{}</summary>{}</details>',
        mark_safe(" open") if opened else "",
        label,
        json_block(value),
    )


def diff_block(lines: list[str]) -> SafeString:
    """A unified diff with added and removed lines marked."""
    tones = {"+": "add", "-": "del", "@": "hunk"}
    rows = [
        format_html('<span class="ord-diff ord-diff--{}">{}</span>', tones.get(line[:1], "same"), line)
        for line in lines
    ]
    return format_html('<pre class="ord-code">{}</pre>', mark_safe("\n".join(rows)))  # noqa: S308 (each row is escaped)


def _block(text: str, parts: re.Pattern[str]) -> SafeString:
    shown = text[:_LONGEST]
    cut = f"\n… {len(text) - _LONGEST} more characters" if len(text) > _LONGEST else ""
    return format_html('<pre class="ord-code">{}{}</pre>', _highlighted(shown, parts), cut)


def _highlighted(text: str, parts: re.Pattern[str]) -> SafeString:
    written: list[str] = []
    end = 0
    for match in parts.finditer(text):
        written.append(conditional_escape(text[end : match.start()]))
        written.append(format_html('<span class="ord-{}">{}</span>', match.lastgroup, match.group()))
        end = match.end()
    written.append(conditional_escape(text[end:]))
    return mark_safe("".join(written))  # noqa: S308 (every part is escaped above)
