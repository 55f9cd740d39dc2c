"""Approvals: the questions of runs that people answer. The row is `workers.models.Question`; how an answer reaches its
run stands in `docs/decisions/0011-questions.md`."""
