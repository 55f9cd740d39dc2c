"""Forms whose saving is an operation: the operation is the one validator, and what it refuses shows on its field."""

from collections.abc import Mapping
from typing import Any, ClassVar

from django import forms
from django.db import models
from django.http import HttpRequest

from scheduling.audit.operations import Actor
from scheduling.console.deeds import DeedsAdmin, actor_of
from scheduling.errors import Problem, SchedulingError


class OperationForm(forms.ModelForm):  # type: ignore[type-arg]
    """A form that carries out its operation as the last step of its validation, in the view's transaction.

    It is not done later, in `save_model`: what an operation refuses there could no longer be shown on the form.
    """

    actor: ClassVar[Actor]
    is_new: ClassVar[bool]
    # Where a problem's pointer is, or begins with, another name than the form's field has.
    field_of_pointer: ClassVar[Mapping[str, str]] = {}

    def carry_out(self, given: dict[str, Any]) -> models.Model:
        """Call the operation with the cleaned values; the object as it is afterwards."""
        raise NotImplementedError

    def full_clean(self) -> None:
        super().full_clean()
        if self.is_bound and not self.errors:
            try:
                self.saved = self.carry_out(self.cleaned_data)
            except SchedulingError as refusal:
                self._show(refusal)

    def _post_clean(self) -> None:
        """The model's own validation is left to the operation, so that a rule is told in one voice."""

    def _show(self, refusal: SchedulingError) -> None:
        whole = Problem(pointer=refusal.pointer, code=refusal.code, detail=refusal.detail, hint=refusal.hint)
        for problem in refusal.problems or (whole,):
            pointer = problem.pointer.strip("/")
            first, rest = (pointer, "") if pointer in self.field_of_pointer else pointer.partition("/")[::2]
            name = self.field_of_pointer.get(first, first)
            place = f"At /{rest}: " if rest else ""
            words = f"{place}{problem.detail} {problem.hint or ''}".strip()
            self.add_error(name if name in self.fields else None, words)


class OperationAdmin(DeedsAdmin):
    """An admin whose add and change forms are `OperationForm`s."""

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        form = super().get_form(request, obj, change=change, **kwargs)
        return type(form.__name__, (form,), {"actor": actor_of(request), "is_new": obj is None})

    def save_form(self, request: HttpRequest, form: Any, change: bool) -> Any:
        return form.saved

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: Any) -> None:
        """The form's operation has saved it."""

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: Any) -> None:
        """Operations save what belongs to an object together with it."""

    def construct_change_message(self, request: HttpRequest, form: Any, formsets: Any, add: bool = False) -> Any:
        return ""
