"""Ends this process with the one that started it."""

from __future__ import annotations

import ctypes
import signal
import sys

# From <linux/prctl.h>.
PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    """
    The end of standard input tells of a parent's death too, but is not seen while a library computes, nor by a process that is
    stopped. Only Linux has this.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
