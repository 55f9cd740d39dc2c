"""Bulk operations: the same deed on many runs, previewed, carried out in batches, seen and canceled on the way.

    preview -> create (with the count that was previewed) -> [clock: batches of 200] -> finished | canceled | failed

A batch and the cursor behind it are one transaction, so that a crash repeats nothing. The cursor moves through the ids
of the runs upwards, and only what failed before the operation was made is taken: a run is redriven once by it.
"""
