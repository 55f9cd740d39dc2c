"""A task as the documentation shows it."""

from typing import Any

MORNING_BRIEFING: dict[str, Any] = {
    "key": "morning-briefing",
    "title": "Morning briefing",
    "schedules": [
        {
            "kind": "rrule",
            "expression": "FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR;BYHOUR=8;BYMINUTE=0",
            "timezone": "Europe/Chisinau",
            "misfire": {"policy": "last", "grace": "PT30M"},
        }
    ],
    "overlap": "skip",
    "priority": 3,
    "retry": {"max_attempts": 3, "backoff": "exponential", "initial": "PT5S", "jitter": True},
    "pipeline": {
        "version": 1,
        "params": {"to": "me@example.com", "calendar": "day.ics"},
        "steps": [
            {
                "id": "events",
                "uses": "calendar.list_events",
                "with": {"source": "${params.calendar}", "start": "${now}", "end": "${date_add(now, 'P1D')}"},
            },
            {
                "id": "summary",
                "uses": "email.send",
                "with": {
                    "to": "${params.to}",
                    "subject": "Your day",
                    "text": "You have ${length(steps.events.items)} events.",
                },
            },
        ],
        "outputs": {"events": "${length(steps.events.items)}"},
    },
}
