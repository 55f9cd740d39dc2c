"""Secrets: values that pipelines name, that tools receive and nobody reads back.

    vault       encrypts and decrypts with keys from outside the database
    forms       in which a value may come back: encodings, other case, names of hosts
    recognition which values that were made of one a tool may be given
    redaction   takes values out of whatever a tool gives back, says or logs
    operations  set, limit, delete and re-encrypt, each with an audit entry
    selectors   which secrets there are, without their values
    definition  what a caller may say of a secret

How a value is kept out of the journal: see decision 13. The engine computes what it writes down from the document with
`[secret name]` in the place of every expression that reads a secret, so that no function or encoding can bring a value
there; the real input is made beside it, for the tool alone.
"""
