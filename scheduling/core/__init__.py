"""The pure part of *when*: recurrence, preview, planning. No Django, no clock, no I/O; `now` is an argument."""
