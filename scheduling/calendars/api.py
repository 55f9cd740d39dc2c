"""The addresses of exclusion calendars."""

from uuid import UUID

from django.urls import path
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from scheduling.api.access import READ_TASKS, WRITE_TASKS
from scheduling.api.finding import caller_of, find, find_to_change, seen
from scheduling.api.idempotency import idempotent
from scheduling.api.pages import page_of
from scheduling.api.parameters import PageParameters
from scheduling.api.principal import actor_of
from scheduling.api.shapes import page_shape
from scheduling.api.views import View, body_of, created, entity_tag, matched_tag
from scheduling.calendars import operations
from scheduling.calendars.definition import CalendarDefinition
from scheduling.calendars.models import Calendar
from scheduling.calendars.selectors import visible_calendars
from scheduling.calendars.shapes import CalendarShape, CalendarSummaryShape
from scheduling.errors import Forbidden, VersionMismatch

HOLIDAYS = {"key": "holidays", "title": "Public holidays", "dates": ["2026-12-25", "2026-12-26", "2027-01-01"]}


class CalendarList(View):
    tag = "calendars"
    access = {"get": READ_TASKS, "post": WRITE_TASKS}
    parameters = {"get": PageParameters}

    @extend_schema(operation_id="listCalendars", responses=page_shape(CalendarSummaryShape))
    def get(self, request: Request) -> Response:
        """List the exclusion calendars, newest first; each one's days are on its own page."""
        calendars = seen(request, visible_calendars)
        return Response(
            page_of(request, calendars, self.given, lambda rows: list(CalendarSummaryShape(rows, many=True).data))
        )

    @extend_schema(
        operation_id="createCalendar",
        request=CalendarDefinition,
        responses={201: CalendarShape},
        examples=[OpenApiExample("Public holidays", HOLIDAYS, request_only=True)],
    )
    @idempotent
    def post(self, request: Request) -> Response:
        """Create a calendar of days on which schedules that name it do not fire."""
        agent = caller_of(request).agent
        if agent is None:
            raise Forbidden(
                "A calendar belongs to an agent.",
                hint="Create it with an agent's token, or in the console for an agent.",
            )
        calendar = operations.create_calendar(actor=actor_of(request), agent=agent, definition=body_of(request))
        return created(
            CalendarShape(calendar).data, location=f"/api/v1/calendars/{calendar.pk}", tag=entity_tag(calendar.version)
        )


class CalendarView(View):
    tag = "calendars"
    access = {"get": READ_TASKS, "patch": WRITE_TASKS, "delete": WRITE_TASKS}
    conditional_methods = ("patch",)

    @extend_schema(operation_id="getCalendar", responses=CalendarShape)
    def get(self, request: Request, calendar_id: UUID) -> Response:
        """Show a calendar with every day and span that it excludes."""
        return _answer(find(request, visible_calendars, calendar_id))

    @extend_schema(operation_id="updateCalendar", request=CalendarDefinition, responses=CalendarShape)
    @idempotent
    def patch(self, request: Request, calendar_id: UUID) -> Response:
        """Change some fields. Schedules that name it fire by the new days within a second, never in the past."""
        calendar = find_to_change(request, visible_calendars, calendar_id)
        tag = matched_tag(request)
        if tag is not None and not tag.isdecimal():
            raise VersionMismatch(hint="Read the calendar again and apply the change to what it is now.")
        changed = operations.update_calendar(
            actor=actor_of(request),
            calendar=calendar,
            changes=body_of(request),
            expected_version=None if tag is None else int(tag),
        )
        return _answer(changed)

    @extend_schema(operation_id="deleteCalendar", request=None, responses={204: None})
    @idempotent
    def delete(self, request: Request, calendar_id: UUID) -> Response:
        """Remove a calendar. 409 `calendar_in_use` while schedules name it."""
        calendar = find_to_change(request, visible_calendars, calendar_id)
        operations.delete_calendar(actor=actor_of(request), calendar=calendar)
        return Response(status=204)


def _answer(calendar: Calendar) -> Response:
    return Response(CalendarShape(calendar).data, headers={"ETag": entity_tag(calendar.version)})


urlpatterns = [
    path("calendars", CalendarList.as_view(), name="calendars"),
    path("calendars/<uuid:calendar_id>", CalendarView.as_view(), name="calendar"),
]
