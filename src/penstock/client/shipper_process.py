"""Starting the shipper of a home (`home_shipper`), and asking how it fares, without loading what it is made of."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path

from penstock import settings
from penstock.journal import folder
from penstock.settings import Settings

_PROGRAM = "import os; os.fork() and os._exit(0); from penstock.client import home_shipper; home_shipper.main()"
"""It is nobody's child: whoever ends a run with all that it has started leaves it alone."""


def start(chosen: Settings, url: str, environ: Mapping[str, str]) -> bool:
    """Have a shipper send what there is for the server at ``url``. False if there is one already, or none can be."""
    if folder.is_locked(path_of(chosen, url)) or not sys.executable or not hasattr(os, "posix_spawn"):
        return False
    env = {name: value for name, value in environ.items() if not name.startswith(settings.PREFIX)}
    env |= settings.to_environment(chosen)
    env["PENSTOCK_API_URL"] = url
    null = [(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_RDWR, 0) for number in (0, 1, 2)]
    # The last word is for people who wonder what this process is.
    line = [sys.executable, "-P", "-c", _PROGRAM, f"# sends what runs in {chosen.home} recorded to {url}"]
    pid = os.posix_spawn(sys.executable, line, env, file_actions=null, setsid=True)
    try:
        os.waitpid(pid, 0)  # that is over in a moment: see the program
    except ChildProcessError:
        pass  # whoever waits for all children has seen its end
    return True


def trouble(chosen: Settings, url: str) -> str:
    """What keeps the shipper from sending, as it says itself; nothing when all is well, or there is none."""
    path = path_of(chosen, url)
    try:
        return path.read_text("utf-8") if folder.is_locked(path) else ""
    except (OSError, UnicodeDecodeError):
        return ""


def path_of(chosen: Settings, url: str) -> Path:
    """The file that the shipper for the server at ``url`` holds the lock of."""
    return chosen.outbox / f"shipper.{blake2b(url.encode(), digest_size=8).hexdigest()}"
