"""What is left out when code is packed: the patterns of ``.penstockignore``, which are those of ``.gitignore``."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from penstock import errors

FILE_NAME = ".penstockignore"

Ignores: TypeAlias = Callable[[str], bool]
"""Whether a path is left out: relative, with ``/`` between its parts; that of a folder ends in one."""

DEFAULT = """\
# What is left out when Penstock packs the code of a deployment.
# The patterns are those of .gitignore: https://git-scm.com/docs/gitignore

# Penstock's own
.penstock/
*-deployment.yaml

# Version control
.git/
.hg/
.svn/

# Secrets
.env
.env.*
!.env.example
*.pem
*.key
*credentials*.json
.pgpass
.netrc

# Environments, and what Python and its tools leave behind
.venv/
venv/
env/
__pycache__/
*.py[cod]
*.egg-info/
build/
dist/
.eggs/
.tox/
.nox/
.coverage*
htmlcov/
.*_cache/
.ipynb_checkpoints/

# Editors, systems, other languages
.idea/
.vscode/
*.swp
.DS_Store
Thumbs.db
node_modules/
"""
"""The file that is written where there is none, and what counts until then."""


def ignores(text: str = DEFAULT) -> Ignores:
    """What leaves out a path, by the text of an ignore file. Raises `UsageError` for a line that is no pattern.

    A folder that is left out is to be left out with all that it holds.
    """
    import pathspec  # noqa: PLC0415  only where code is packed

    patterns = text.removeprefix("\N{BYTE ORDER MARK}").splitlines()
    for number, pattern in enumerate(patterns, 1):
        try:
            pathspec.GitIgnoreSpec.from_lines([pattern])
        except ValueError:
            raise errors.UsageError(f"Not a pattern, in line {number} of `{FILE_NAME}`: `{pattern}`") from None
    return pathspec.GitIgnoreSpec.from_lines(patterns).match_file
