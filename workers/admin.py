"""The console's pages of this app, and those of runs: they join runs with their steps."""

from workers.console import machinery, runs, workers

__all__ = ["machinery", "runs", "workers"]
