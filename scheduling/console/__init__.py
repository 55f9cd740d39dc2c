"""What the admin pages of every app are made of: words, badges, code blocks, listings and deeds.

It stands in the lowest layer so that each app's `admin.py` may use it. Nothing here writes: what changes something is a
`Deed`, and a deed calls one operation.
"""
