"""`python -m benchmarks [--list] [name ...]`: run benchmarks and print their figures, as text or JSON lines."""

import argparse
import importlib
import json
import os
import pkgutil
import platform
import sys

import benchmarks
from benchmarks.report import Report


def main(arguments: list[str]) -> int:
    known = sorted(module.name for module in pkgutil.iter_modules(benchmarks.__path__) if module.name not in _SUPPORT)
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=f"of: {', '.join(known)}")
    parser.add_argument("--list", action="store_true", help="name the benchmarks and stop")
    parser.add_argument("--json", action="store_true", help="one JSON object a figure")
    options = parser.parse_args(arguments)
    if options.list:
        print("\n".join(known))
        return 0
    if unknown := sorted(set(options.names) - set(known)):
        parser.error(f"no benchmark is called {', '.join(unknown)}; known: {', '.join(known)}")
    machine = {"python": platform.python_version(), "cpus": os.cpu_count(), "machine": platform.machine()}
    print(json.dumps({"machine": machine}) if options.json else f"{machine}")
    for name in options.names or known:
        importlib.import_module(f"benchmarks.{name}").run(Report(name, as_json=options.json))
    return 0


_SUPPORT = {"__main__", "clock_rows", "floor", "peers", "processes", "rates", "report", "run_rows", "server"}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
