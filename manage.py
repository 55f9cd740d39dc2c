#!/usr/bin/env python
"""Run Ordinaut's management commands; `python manage.py help` lists them."""

import os
import select
import sys

from scheduling.garbage import collect_seldom


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ordinaut_project.settings")
    collect_seldom()

    from django.core.management import execute_from_command_line

    try:
        execute_from_command_line(sys.argv)
        sys.stdout.flush()
    except BrokenPipeError:
        if not _nobody_reads():
            raise  # another pipe: of a server or a tool
        # Whoever read the output has seen enough (`| head`). What Python would still write at its end goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)  # as a program that SIGPIPE ends


def _nobody_reads() -> bool:
    """True where standard output is a pipe whose other end is closed."""
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)  # what is wrong with it is told without being asked for
    return bool(poll.poll(0))


if __name__ == "__main__":
    main()
