"""Coloured words: the states of things, the same everywhere. The word is always there; colour only repeats it."""

from enum import StrEnum

from django.utils.html import format_html
from django.utils.safestring import SafeString


class Tone(StrEnum):
    GOOD = "good"
    BAD = "bad"
    BUSY = "busy"
    CALM = "calm"
    WARN = "warn"


_TONES = {
    Tone.GOOD: ("succeeded", "active", "running", "enabled", "executed", "usable", "approved"),
    Tone.BAD: ("failed", "lost", "quarantined", "revoked", "error!", "expired", "rejected"),
    Tone.BUSY: ("queued", "waiting", "started", "draining", "open"),
    Tone.WARN: (
        "canceled",
        "missed",
        "interrupted",
        "paused",
        "disabled",
        "simulated",
        "tolerated",
        "suspect",
        "gated",
    ),
}
_TONE_OF = {word: tone for tone, words in _TONES.items() for word in words}


def badge(word: str, tone: Tone | None = None, *, title: str = "") -> SafeString:
    """A state as a badge; its colour follows the word unless `tone` says otherwise."""
    shown = tone or _TONE_OF.get(word.lower(), Tone.CALM)
    return format_html('<span class="ord-badge ord-badge--{}" title="{}">{}</span>', shown.value, title, word)


def simulated_badge() -> SafeString:
    return badge("simulated", title="No tool was called for real; the results are examples.")


def run_badge(state: str) -> SafeString:
    """A run's state. A running run is at work, not finished well, so it does not wear the colour of success."""
    return badge(state, Tone.BUSY if state == "running" else None)
