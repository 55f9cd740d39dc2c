"""The console's pages of this app, and those of runs: they join runs with their steps."""

from workers.console import approvals, machinery, runs, workers

__all__ = ["approvals", "machinery", "runs", "workers"]
