"""Records in a file: what a run's process writes, and how others read it.

``<home>/journals/<run id>/<attempt>.<writer>.journal``: a magic line, then frames of
``length, checksum, payload`` (see `frames`). One process writes a journal and holds a lock on it
while it lives; a free lock on a journal without an end is a dead process.
"""
