"""Which process owns a resource. After ``os.fork()`` the child has a copy of every object, but it owns nothing.

Threads do not exist in the child, sockets and servers belong to the parent, and a graphics driver waits for ever for its
threads. So an object that holds such a thing is tied to the process that made it. In a child it must not be used, closed or
destroyed: its destructor would join threads that are not there, or tell the other side that the parent has left.
"""

from __future__ import annotations

import ctypes
import os
import weakref
from typing import Any

from gym_gazebo2.errors import UsageError

__all__ = ["Owner", "tie_to_process"]

_TIED: weakref.WeakSet[Any] = weakref.WeakSet()


class Owner:
    """The process that made a resource.

    Attributes:
        pid: Its process id.
    """

    def __init__(self) -> None:
        """Note this process."""
        self.pid = os.getpid()

    @property
    def is_here(self) -> bool:
        """Whether this is the process that made the resource, and not a fork of it."""
        return os.getpid() == self.pid

    def check(self, what: str) -> None:
        """Check that the resource belongs to this process.

        Args:
            what: Name of the resource, for the message.

        Raises:
            UsageError: This process is a fork of the owner.
        """
        if not self.is_here:
            raise UsageError(
                f"The {what} was made in process {self.pid}, and cannot be used in its fork {os.getpid()}. "
                "Make the environment in the process that uses it, or start processes with the method 'spawn'."
            )


def tie_to_process(thing: Any) -> Owner:
    """Tie an object to this process: a fork never runs the destructors of the object and of what it refers to.

    Args:
        thing: An object that supports weak references.

    Returns:
        The owner, with which the object guards its methods.
    """
    _TIED.add(thing)
    return Owner()


def _disown() -> None:
    """Do not touch the parent's resources, neither while this child runs nor when it exits."""
    tied = list(_TIED)
    for thing in tied:
        # One reference too many: even the end of the interpreter then does not destroy it.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))
    if tied:
        _skip_static_destructors()


def _skip_static_destructors() -> None:
    """Let this process end before the destructors of C++ libraries: those of Fast DDS crash where its threads are missing.

    Python has then ended as usual. multiprocessing ends its forked workers in the same way.
    """
    libc = ctypes.CDLL(None)
    if hasattr(libc, "on_exit"):  # glibc
        # exit() calls these in reverse order: it writes what is buffered, then ends with the status that it was given.
        libc.on_exit(libc._exit, None)
        libc.__cxa_atexit(libc.fflush, None, None)


os.register_at_fork(after_in_child=_disown)
