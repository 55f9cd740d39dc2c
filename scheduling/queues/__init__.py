"""Operating queues: pause, rates, fairness and weight.

A queue is a word on a task until somebody operates it: only then it has a row. What stands in the row is heeded by the
claim (`workers.claim`): a paused queue is not probed, a queue with a rate takes tokens from its bucket, a fair queue is
dealt out to its agents in turn, and weights share a claim between queues.

Buckets are token buckets on the database's clock: `burst` tokens at most, refilled at `limit` in each `period`, one
token a start. In any window of a period there are at most `limit + burst` starts. The bucket's row is locked while its
tokens are counted and taken, in the transaction of the starts, so that a crash gives them back.
"""
