"""
Database connections that a process inherited from its parent through fork().

This module knows when a process was forked and which connections it inherited
then. What it means to discard one is up to BaseDatabaseWrapper._discard().
"""

import logging
import os
import threading
import weakref

try:
    from ctypes import py_object, pythonapi
except ImportError:
    pythonapi = None

logger = logging.getLogger("django.db.backends.fork")

# The process that the connections belong to.
_pid = os.getpid()
# The lock of each process: no ancestor can have left its descendant's held.
_locks = {}
# Weak references to all database wrappers, by id().
_wrappers = {}
# The sockets of the driver's connections, by weak reference to these: the
# descriptor, with the device and inode that tell whether it's still theirs.
_sockets = {}
# The wrappers of other threads, by thread that is forking. Otherwise, they
# might be deallocated in the child before their connections can be discarded.
_forking = {}
# What was inherited and must not be deallocated: the driver might log off from
# the server, and SQLite roll back the parent's transaction.
_discarded = []
if pythonapi is not None:
    # Nor when the interpreter exits, which clears modules.
    pythonapi.Py_IncRef(py_object(_discarded))


def track_wrapper(wrapper):
    """Have a database wrapper's connection discarded after fork()."""
    key = id(wrapper)
    _wrappers[key] = weakref.ref(wrapper, lambda ref: _wrappers.pop(key, None))


def track_socket(connection):
    """Have the socket of a driver's connection discarded after fork()."""
    try:
        ref = weakref.ref(connection, _sockets.pop)
        if ref not in _sockets:
            fd = connection.fileno()
            stat = os.fstat(fd)
            _sockets[ref] = fd, stat.st_dev, stat.st_ino
    except Exception:
        # The driver doesn't say which socket it uses.
        pass


def has_null_device(connection):
    """Return whether a driver's connection had its socket discarded."""
    null = os.stat(os.devnull)
    return os.path.samestat(os.fstat(connection.fileno()), null)


def keep_alive(inherited):
    """Never deallocate an object whose destructor might affect the parent."""
    _discarded.append(inherited)


def process_lock():
    """Return a lock that no other process can have held when it forked."""
    return _locks.setdefault(os.getpid(), threading.RLock())


def discard_inherited():
    """
    Discard all connections that this process inherited through fork().

    It's called by the at-fork hook if there's anything that might be in use,
    and, as that doesn't run for a fork in C (e.g. uWSGI's), wherever a
    connection is opened or checked for its age.
    """
    global _pid
    if _pid == os.getpid():
        return
    with process_lock():
        if _pid == (pid := os.getpid()):
            return
        _discard_sockets()
        for ref in list(_wrappers.values()):
            if (wrapper := ref()) is not None:
                _discard_wrapper(wrapper)
        _pid = pid


def _discard_sockets():
    """
    Replace the inherited sockets with the null device.

    Nothing can be sent to or read from the server through them any more, and
    they don't keep the parent's sessions open.
    """
    global _sockets
    if not _sockets:
        return
    inherited, _sockets = _sockets, {}
    # Deallocating its items would take longer than all the rest.
    keep_alive(inherited)
    try:
        null = os.open(os.devnull, os.O_RDWR)
    except OSError:
        # No null device or no free descriptor: the sockets stay open, unused.
        return
    for fd, device, inode in list(inherited.values()):
        try:
            stat = os.fstat(fd)
            if stat.st_ino == inode and stat.st_dev == device:
                os.dup2(null, fd, inheritable=False)
        except OSError:
            # It was closed in the meantime.
            pass
    os.close(null)


def _discard_wrapper(wrapper):
    if wrapper._thread_sharing_lock.locked():
        # By a thread that doesn't exist in this process.
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
        keep_alive(connection)


def _is_in_use(ref):
    wrapper = ref()
    return wrapper is not None and (
        wrapper.connection is not None
        or wrapper.in_atomic_block
        or wrapper._thread_sharing_lock.locked()
    )


def _before_fork():
    thread = threading.get_ident()
    wrappers = [ref() for ref in list(_wrappers.values())]
    if others := [w for w in wrappers if w and w._thread_ident != thread]:
        _forking[thread] = others


def _after_fork_in_parent():
    _forking.pop(threading.get_ident(), None)


def _after_fork_in_child():
    global _pid
    _pid = None
    _locks.clear()
    # Otherwise, it's left to the first connection that's opened, as it copies
    # the parent's memory.
    if _sockets or any(map(_is_in_use, list(_wrappers.values()))):
        discard_inherited()
    _forking.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=_after_fork_in_parent,
        after_in_child=_after_fork_in_child,
    )
