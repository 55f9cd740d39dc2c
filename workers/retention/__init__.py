"""Retention: what has ended is deleted when it is old enough, in small batches, by the worker hosts.

Each kind of rows (`kinds`) has a statement that reads a bounded page from where the last one ended, deletes what is old
in it and says how far it came. That place is kept in `workers_retention` and moves in the transaction that deleted: a
host that is killed at any point has either deleted a batch and moved, or neither. When a walk has come to what is too
young it waits there. What it passed over on purpose, and what has aged behind it, is met by the next lap, which begins
where the last one first met something that stays, because nothing is before that: nothing but what a host whose clock
is late has made since, with ids of the past. For that the first lap of each week, and each that somebody asks for,
begins at the very start. Whether a row is old the database's clock alone decides; an id only says where to look.

A host takes the turn of a kind at most once a minute (`turns`), and only one host at a time deletes rows of a kind.
"""
