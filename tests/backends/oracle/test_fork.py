import os
import unittest

from backends.forking_helpers import run_script

from django.test import SimpleTestCase

# Use the backend with a driver that stands in for oracledb, as no server is
# needed for who owns a connection or a pool, and fork.
SCRIPT = """
import ctypes, gc, os, sys, weakref
from unittest import mock

from django.conf import settings
from backends.forking import end_in_time


class Inherited:
    # Report when a child deallocates what it didn't make.
    def __init__(self, **kwargs):
        self.pid = os.getpid()

    def __del__(self):
        if self.pid != os.getpid():
            os.write(1, b"deallocated\\n")

    def close(self, force=False):
        if self.pid != os.getpid():
            os.write(1, b"closed\\n")


class Connection(Inherited):
    version = "23.0.0.0"
    autocommit = True

    def cursor(self):
        return mock.MagicMock()


class Pool(Inherited):
    def acquire(self):
        return Connection()


oracledb = mock.MagicMock(
    __version__="2.3.0",
    Error=Exception,
    DatabaseError=Exception,
    InterfaceError=Exception,
    connect=Connection,
    create_pool=Pool,
)
sys.modules["oracledb"] = oracledb
settings.configure()

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.backends.oracle.base import DatabaseWrapper


class OwnPools(DatabaseWrapper):
    _connection_pools = {}


pool, used, own_pools, gone, fork = (word == "True" for word in sys.argv[1:])
settings_dict = {
    **connections[DEFAULT_DB_ALIAS].settings_dict,
    "NAME": "oracle",
    "USER": "django",
    "OPTIONS": {"pool": True} if pool else {},
}
make_wrapper = OwnPools if own_pools else DatabaseWrapper
wrapper = make_wrapper(settings_dict, "oracle")
wrapper.ensure_connection()
if not used:
    wrapper.close()
inherited = wrapper.connection, wrapper.pool
if gone:
    wrapper = weakref.ref(wrapper)
    gc.collect()
    # Nothing else keeps its connection, if any, from being released.
    assert wrapper() is None
end_in_time()
if (pid := os.fork() if fork else ctypes.PyDLL(None).fork()) == 0:
    end_in_time()
    if gone:
        wrapper = make_wrapper(settings_dict, "oracle")
    pooled = wrapper
    # A fork in C is noticed later.
    assert not fork or wrapper.is_usable() is False
    if not fork:
        # A pool that this process makes before it notices the fork.
        pooled = wrapper.copy("another")
        pooled.settings_dict["OPTIONS"] = {"pool": True}
    own_pool = pooled.pool
    pooled.ensure_connection()
    wrapper.ensure_connection()
    connection, pool = inherited
    del inherited
    print("child", wrapper.connection is connection, wrapper.pool is pool)
    print("own pool", pooled.pool is own_pool, flush=True)
    del connection, pool, own_pool
    gc.collect()
    for each in {wrapper, pooled}:
        each.close()
        each.close_pool()
    os._exit(0)
status = os.waitpid(pid, 0)[1]
if gone:
    wrapper = make_wrapper(settings_dict, "oracle")
print("parent", status, (wrapper.connection, wrapper.pool) == inherited)
"""


@unittest.skipUnless(hasattr(os, "fork"), "requires os.fork()")
class ForkTests(SimpleTestCase):
    def check_fork(self, pool, used=True, own_pools=False, gone=False, fork=True):
        output = run_script(SCRIPT, *map(str, [pool, used, own_pools, gone, fork]))
        # Without a pool, both processes have none. Nothing that the child
        # inherited was closed or deallocated.
        self.assertEqual(
            output, f"child False {not pool}\nown pool True\nparent 0 True\n"
        )

    def test_connection(self):
        self.check_fork(pool=False)

    def test_connection_fork_in_c(self):
        self.check_fork(pool=False, fork=False)

    def test_pool(self):
        self.check_fork(pool=True)

    def test_pool_without_checked_out_connection(self):
        self.check_fork(pool=True, used=False)

    def test_pool_without_wrapper(self):
        self.check_fork(pool=True, used=False, gone=True)

    def test_pool_of_subclass(self):
        self.check_fork(pool=True, own_pools=True)

    def test_pool_fork_in_c(self):
        self.check_fork(pool=True, fork=False)
