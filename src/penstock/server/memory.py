"""The memory of a process that stays: what large bodies took is given back."""

from __future__ import annotations

import ctypes
import sys

LARGE_BYTES = 1 << 20

_M_MMAP_THRESHOLD = -3


def give_back_large_blocks() -> None:
    """Have blocks of a megabyte and more mapped each for itself, so that the system has them again once they are free.

    The C library of GNU raises the size from which it does so to that of the largest block that was freed, up to
    32 MiB: after a few large bodies it would keep hundreds of megabytes, in pieces. Others are left as they are.
    """
    if sys.platform.startswith("linux") and hasattr(library := ctypes.CDLL(None), "mallopt"):
        library.mallopt(_M_MMAP_THRESHOLD, LARGE_BYTES)
