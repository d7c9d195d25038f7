"""Keeping what a process has in memory there: no core dump, no debugger, no swap (Linux).

For programs that hold a key which must not reach a disk. Each measure is taken where the system allows it.
"""

from __future__ import annotations

import ctypes
import os
import resource

_PR_SET_DUMPABLE = 4
_MCL_CURRENT, _MCL_FUTURE = 1, 2


def guard() -> list[str]:
    """Take the measures; what could not be taken, each as a line that says what to do."""
    libc = ctypes.CDLL(None, use_errno=True)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    failed = []
    if libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0):
        failed.append(f"other processes of this user can read this one's memory: {os.strerror(ctypes.get_errno())}")
    # Under a limit the lock would hold, and the next large piece of memory be refused: a passphrase asks for 128 MiB.
    if resource.getrlimit(resource.RLIMIT_MEMLOCK)[0] != resource.RLIM_INFINITY:
        failed.append("memory may be written to swap: set LimitMEMLOCK=infinity in the unit")
    elif libc.mlockall(_MCL_CURRENT | _MCL_FUTURE):
        failed.append(f"memory may be written to swap: {os.strerror(ctypes.get_errno())}")
    return failed
