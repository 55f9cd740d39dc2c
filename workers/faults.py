"""The last unexpected error of a worker process, as its row shows it. What a run's own tool or data is to blame for is
the run's error and none of these."""

LONGEST = 500


class Faults:
    """Remembers the last error and how many there were. `number` tells a repeated error from one told already."""

    def __init__(self) -> None:
        self.number = 0
        self.text = ""

    def note(self, where: str, error: BaseException | str | None) -> None:
        """Take in an error; `where` says what it kept from going on."""
        words = error if isinstance(error, str) else "" if error is None else f"{type(error).__name__}: {error}"
        self.number += 1
        # As the database takes it: no NUL, no half of a surrogate pair, one line.
        plain = f"{where}: {words}".encode("utf-8", "replace").decode().replace("\0", "")
        self.text = " ".join(plain.split())[:LONGEST]
