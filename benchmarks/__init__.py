"""Benchmarks with their reasons. Run all with `make bench`, some with `make bench ARGS='expressions'`.

A benchmark is a module of this package with `run(report)`: it calls `report.value(name, value, unit)` for each figure.
Figures are judged by ratios taken in the same run, never by absolute times: machines differ.
"""
