"""A form of the console from the JSON Schema of an approval: a field for each property, and JSON for what has no field
of its own. The schema is the judge in any case; here only texts become values."""

from collections.abc import Iterator, Mapping
from typing import Any

import orjson
from django import forms

from scheduling.console.words import NOTHING

_LONG = 200  # characters: a longer text has a larger field
_WHOLE = "form"  # the one field of a schema that has no properties of its own


class FilledIn(forms.Form):
    """`values()` is the filled-in form as JSON values; what was left empty is left out."""

    properties: Mapping[str, Any]

    def values(self) -> dict[str, Any]:
        if _WHOLE in self.fields:
            return dict(self.cleaned_data[_WHOLE] or {})
        given = {}
        for place, (name, schema) in enumerate(self.properties.items()):
            value = self.cleaned_data[f"field_{place}"]
            if value is not None and value != "":
                given[name] = _value(value, schema)
        return given

    def field_of(self, pointer: str) -> str | None:
        """The field that a problem below `/form` is about."""
        name = pointer.removeprefix("/form/").partition("/")[0].replace("~1", "/").replace("~0", "~")
        names = list(self.properties)
        return f"field_{names.index(name)}" if name in names else (_WHOLE if _WHOLE in self.fields else None)


class JSONText(forms.CharField):
    widget = forms.Textarea(attrs={"rows": 4})

    def to_python(self, value: Any) -> Any:
        if value in (None, ""):
            return None
        try:
            return orjson.loads(value)
        except ValueError as error:
            raise forms.ValidationError(f"This is no JSON: {error}") from error


class JSONObjectText(JSONText):
    def to_python(self, value: Any) -> Any:
        found = super().to_python(value)
        if found is not None and not isinstance(found, dict):
            raise forms.ValidationError("This is no JSON object.")
        return found


def form_of(schema: Any, data: Any = None) -> FilledIn | None:
    """The form, bound to `data` where that is given; None where nothing is filled in."""
    if schema is None:
        return None
    properties = schema.get("properties")
    found = FilledIn(data)
    if not isinstance(properties, Mapping) or not properties:
        found.properties = {}
        found.fields[_WHOLE] = JSONObjectText(label="Form (JSON)", required=False)
        return found
    found.properties = properties
    required = schema.get("required") or ()
    for place, (name, each) in enumerate(properties.items()):
        found.fields[f"field_{place}"] = _field(name, each if isinstance(each, Mapping) else {}, name in required)
    for field in found.fields.values():
        if not isinstance(field, forms.BooleanField):
            field.widget.attrs["class"] = "ord-input"
    return found


def _field(name: str, schema: Mapping[str, Any], is_required: bool) -> forms.Field:
    label = str(schema.get("title") or name)
    common: dict[str, Any] = {
        "label": label,
        "help_text": str(schema.get("description") or ""),
        "required": is_required,
        "initial": schema.get("default"),
    }
    if isinstance(schema.get("enum"), list):
        shown = [(str(place), _shown(value)) for place, value in enumerate(schema["enum"])]
        initial = next((str(at) for at, value in enumerate(schema["enum"]) if value == schema.get("default")), "")
        choices = shown if is_required and initial else [("", NOTHING), *shown]
        return forms.ChoiceField(**{**common, "initial": initial}, choices=choices)
    match schema.get("type"):
        case "boolean":
            # Unchecked is false, not missing.
            return forms.BooleanField(**{**common, "required": False})
        case "integer":
            return forms.IntegerField(**common)
        case "number":
            return forms.FloatField(**common)
        case "string":
            is_long = schema.get("maxLength", 0) > _LONG
            widget = forms.Textarea(attrs={"rows": 4}) if is_long else forms.TextInput()
            return forms.CharField(**common, widget=widget, strip=False)
    if "default" in schema:
        common["initial"] = _shown(schema["default"])
    return JSONText(**{**common, "label": f"{label} (JSON)"})


def _value(value: Any, schema: Any) -> Any:
    enum = schema.get("enum") if isinstance(schema, Mapping) else None
    return enum[int(value)] if isinstance(enum, list) else value


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def problems_by_field(form: FilledIn, problems: Any) -> Iterator[tuple[str | None, str]]:
    """Where each problem of an operation shows, and its words."""
    for each in problems:
        yield form.field_of(each.pointer), f"{each.detail} {each.hint or ''}".strip()
