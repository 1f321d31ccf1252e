"""
Database connections that a process inherited from its parent through fork().

This module knows when a process was forked and which connections it inherited
then. What it means to discard one is up to BaseDatabaseWrapper._discard().
"""

import logging
import os
import threading
import weakref

logger = logging.getLogger("django.db.backends.fork")

# The process that the connections belong to.
_pid = os.getpid()
# The lock of each process: no ancestor can have left its descendant's held.
_locks = {}
# All database wrappers, by id().
_wrappers = weakref.WeakValueDictionary()
# The driver's connections that have a socket, with the device and inode that
# tell whether a descriptor still belongs to it.
_sockets = weakref.WeakKeyDictionary()
# What forks that are under way keep alive. Otherwise, the connections of other
# threads might be deallocated in the child before they can be discarded.
_forking = []
# Inherited connections. They are kept alive as the driver might log off from
# the server when they're deallocated.
_discarded = []


def track_wrapper(wrapper):
    """Have a database wrapper's connection discarded after fork()."""
    _wrappers[id(wrapper)] = wrapper


def track_socket(connection):
    """Have the socket of a driver's connection discarded after fork()."""
    try:
        if connection not in _sockets:
            _sockets[connection] = _identify(connection.fileno())
    except Exception:
        # The driver doesn't say which socket it uses.
        pass


def process_lock():
    """Return a lock that no other process can have held when it forked."""
    return _locks.setdefault(os.getpid(), threading.RLock())


def discard_inherited():
    """
    Discard all connections that this process inherited through fork().

    It's called by the at-fork hook, and, as that doesn't run for a fork in C
    (e.g. uWSGI's), wherever a connection is opened or checked for its age.
    """
    global _pid
    if _pid == os.getpid():
        return
    with process_lock():
        if _pid == (pid := os.getpid()):
            return
        _discard_sockets()
        for ref in _wrappers.valuerefs():
            if (wrapper := ref()) is not None:
                _discard_wrapper(wrapper)
        _pid = pid


def _identify(fd):
    stat = os.fstat(fd)
    return stat.st_dev, stat.st_ino


def _discard_sockets():
    """
    Replace the inherited sockets with the null device.

    Nothing can be sent to or read from the server through them any more, and
    they don't keep the parent's sessions open.
    """
    inherited = [ref() for ref in _sockets.keyrefs()]
    if not inherited:
        return
    try:
        null = os.open(os.devnull, os.O_RDWR)
    except OSError:
        # No null device or no free descriptor: the sockets stay open, unused.
        return
    try:
        for connection in inherited:
            try:
                fd = connection.fileno()
                if _sockets.pop(connection) == _identify(fd):
                    os.dup2(null, fd, inheritable=False)
            except Exception:
                # It was closed in the meantime.
                pass
    finally:
        os.close(null)


def _discard_wrapper(wrapper):
    # A thread that doesn't exist in this process might have held the lock.
    wrapper._thread_sharing_lock = threading.Lock()
    connection = wrapper.connection
    try:
        wrapper._discard()
    except Exception as e:
        # It must neither use the connection nor keep others from being
        # discarded.
        wrapper.connection = None
        logger.exception("Error discarding a connection after fork() (%s).", e)
    if wrapper.connection is not connection:
        _discarded.append(connection)


def _before_fork():
    refs = [*_wrappers.valuerefs(), *_sockets.keyrefs()]
    _forking.append([ref() for ref in refs])


def _after_fork_in_parent():
    del _forking[-1:]


def _after_fork_in_child():
    global _pid
    _pid = None
    _locks.clear()
    discard_inherited()
    _forking.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=_after_fork_in_parent,
        after_in_child=_after_fork_in_child,
    )
