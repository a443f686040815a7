"""``penstock version``."""

from __future__ import annotations

import platform

from penstock import __version__
from penstock.cli import output
from penstock.cli.output import AS_FITS, OutputOptions
from penstock.cli.session import Here


def version(*, out: OutputOptions = AS_FITS, here: Here) -> None:
    """Print the version.

    `penstock --version` does the same, and answers before anything else is imported.
    """
    output.show_one(here, out, facts(), lambda: f"penstock {__version__}")


def facts() -> dict[str, str]:
    """What programs get."""
    system = f"{platform.system()} {platform.machine()}"
    return {"version": __version__, "python": platform.python_version(), "platform": system}
