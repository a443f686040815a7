"""What the command line exits with."""

from __future__ import annotations

OK = 0
FAILURE = 1
USAGE = 2
NOT_FOUND = 3
INTERRUPTED = 130
BROKEN_PIPE = 141

MEANINGS = {
    OK: "It worked. For commands that run a flow: the run completed.",
    FAILURE: "It failed. For commands that run a flow: the run failed or crashed.",
    USAGE: "The command itself is wrong: an unknown option, a value that does not fit, a file without a flow.",
    NOT_FOUND: "Nothing has that name or id.",
    4: "The server refused who asks.",
    5: "The server cannot be reached.",
    6: "A timeout ended it.",
    7: "For commands that run a flow: the run is suspended. `penstock flow-run resume` continues it.",
    70: "Recording failed (the disk gave an error), so the run was stopped. `penstock flow-run resume` continues it.",
    INTERRUPTED: "Interrupted from the keyboard.",
    BROKEN_PIPE: "Whoever read the output went away, as `head` does.",
}
