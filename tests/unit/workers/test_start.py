"""What a worker process loads at its start: each of its kind pays for it in time and memory."""

import subprocess
import sys

from tests.processes import ROOT, inherited_env

_SHOW = """
import django, sys
django.setup()
import workers.process, workers.lifecycle
print(*sorted(name for name in sys.argv[1:] if name in sys.modules))
"""
# Of the API, of clocks and of tools that are called: none of them is needed to carry runs out.
_UNWANTED = (
    "rest_framework.serializers",
    "requests",
    "scheduling.bulk.operations",
    "scheduling.clock.jobs",
    "icalendar",
)


def test_a_worker_process_loads_neither_the_api_nor_the_jobs_of_clocks() -> None:
    env = {**inherited_env(), "DJANGO_SETTINGS_MODULE": "ordinaut_project.settings"}
    command = [sys.executable, "-c", _SHOW, *_UNWANTED]

    loaded = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=60, check=True)

    assert loaded.stdout == "\n"
