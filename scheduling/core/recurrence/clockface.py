"""The times of day that a rule names: the product of its hours, minutes and seconds, never written out."""

from bisect import bisect_left
from collections.abc import Iterable

HOUR = 3600
MINUTE = 60
DAY = 86_400


class Clockface:
    """A set of seconds of the day. All answers cost a few bisections, also for 86,400 members."""

    def __init__(self, hours: Iterable[int], minutes: Iterable[int], seconds: Iterable[int]) -> None:
        self.hours = tuple(sorted(set(hours)))
        self.minutes = tuple(sorted(set(minutes)))
        self.seconds = tuple(sorted(set(seconds)))
        self._per_hour = len(self.minutes) * len(self.seconds)
        self.size = len(self.hours) * self._per_hour
        self.first = self.at(0)

    def first_from(self, second: int) -> int | None:
        """The first member at or after `second`, or None when the day has no more."""
        rank = self.rank(second)
        return None if rank == self.size else self.at(rank)

    def rank(self, second: int) -> int:
        """How many members come before `second`."""
        hour, rest = divmod(second, HOUR)
        at_hour = bisect_left(self.hours, hour)
        if at_hour == len(self.hours):
            return self.size
        if self.hours[at_hour] != hour:
            return at_hour * self._per_hour
        minute, rest = divmod(rest, MINUTE)
        at_minute = bisect_left(self.minutes, minute)
        at_second = 0
        if at_minute < len(self.minutes) and self.minutes[at_minute] == minute:
            at_second = bisect_left(self.seconds, rest)
        return at_hour * self._per_hour + at_minute * len(self.seconds) + at_second

    def at(self, rank: int) -> int:
        """The member with this rank, from 0 to `size - 1`."""
        hour, rest = divmod(rank, self._per_hour)
        minute, second = divmod(rest, len(self.seconds))
        return self.hours[hour] * HOUR + self.minutes[minute] * MINUTE + self.seconds[second]

    def marks(self) -> bytes:
        """A byte for each second of the day: 1 for the members."""
        minute = bytes(second in self.seconds for second in range(60))
        hour = b"".join(minute if at in self.minutes else bytes(MINUTE) for at in range(60))
        return b"".join(hour if at in self.hours else bytes(HOUR) for at in range(24))

    def has_residue(self, residue: int, modulus: int) -> bool:
        """True where some member is congruent to `residue`."""
        seconds = {second % modulus for second in self.seconds}
        return any(
            (residue - hour * HOUR - minute * MINUTE) % modulus in seconds
            for hour in self.hours
            for minute in self.minutes
        )
