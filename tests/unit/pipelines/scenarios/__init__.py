"""Scenarios in a table: every kind of step with every mishap, and the trace that is expected of each.

`documents.py` makes the documents. `traces.txt` has what each comes to, a line a scenario, written down when it had
been read against the language's reference. `test_scenarios.py` holds the one against the other, and then kills each at
every entry of its journal.
"""
