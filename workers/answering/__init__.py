"""Answers to what runs ask of events and of other runs: see `docs/decisions/0012-events-and-runs-in-a-run.md`.

`events` judges events for the runs that wait for them, `children` starts, hears of and cancels the runs that runs wait
for, `answers` writes answers, `turns` takes turns at all of it in a worker host. Everything here blocks and uses
Django's connection; a turn is safe to be killed anywhere, and in every host at once.
"""
