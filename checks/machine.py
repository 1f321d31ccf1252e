"""
The check of what several processes do, as Hypothesis makes it up, against the
model of what comes of it:

    python3 -m checks.machine --examples 5000
"""

import argparse
import contextlib
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time

from checks import requirements
from checks.model import CLOSE, Process
from overlay import BUILD, ROOT, console, environment, interrupts
from overlay.errors import OverlayError
from overlay.releases import usable

ACTOR = ROOT / "checks/scripts/actor.py"

# Where it keeps what it knows of this repository, else in it.
os.environ.setdefault("HYPOTHESIS_STORAGE_DIRECTORY", str(BUILD / "hypothesis"))

# In seconds: for an answer, and until the server has noticed that a process is
# gone.
PATIENCE, NOTICE = 30, 5

# How many processes there are at most, and how much they do in an example.
MOST, STEPS = 6, 30

# How connections are kept, and where they aren't PostgreSQL's.
POOL = {"min_size": 0, "max_size": 4, "timeout": 10}
KINDS = {
    "persistent": {"CONN_MAX_AGE": None},
    "pool": {"OPTIONS": {"pool": POOL}},
    "sqlite": {"ENGINE": "django.db.backends.sqlite3", "CONN_MAX_AGE": None},
}


def main(arguments=None):
    """Run the check that `arguments` name, and return the exit status."""
    parser = argparse.ArgumentParser(
        prog="machine",
        description="Have Hypothesis make up what processes do that fork, and compare "
        "what comes of it with the model in checks/model.py.",
    )
    parser.add_argument(
        "--examples",
        metavar="N",
        type=console.up_to(999_999),
        default=200,
        help="how many, of all kinds of connections together (default: %(default)s)",
    )
    parser.add_argument(
        "--seed",
        metavar="N",
        type=console.up_to(999_999),
        default=1,
        help="what they start from (default: %(default)s)",
    )
    parser.add_argument("--stock", action="store_true", help="on stock Django")
    parser.add_argument("--only", choices=KINDS, help="with these connections alone")
    return console.run("machine", _check, parser.parse_args(arguments))


def _check(options):
    environment.bootstrap("tests", requirements.RUNTESTS)
    kinds = [options.only] if options.only else [*KINDS]
    with interrupts.unwinding():
        for kind in kinds:
            examples = max(1, options.examples // len(kinds))
            _run(kind, examples, options.seed, options.stock)
            print(f"{kind}: {examples} examples are as the model says.", flush=True)


def _run(kind, examples, number, stock):
    from hypothesis import HealthCheck, Phase, seed, settings
    from hypothesis.stateful import run_state_machine_as_test

    from checks import trees

    with (
        trees.tree(usable(), stock) as tree,
        _database(kind) as (database, observe),
        _zygote(tree, database | KINDS[kind]) as start,
    ):
        machine = seed(number)(rules(kind, start, observe))
        try:
            run_state_machine_as_test(
                machine,
                settings=settings(
                    max_examples=examples,
                    stateful_step_count=STEPS,
                    deadline=None,
                    database=None,
                    report_multiple_bugs=False,
                    # On stock, many of them hang.
                    phases=[Phase.generate] + [Phase.shrink] * (not stock),
                    suppress_health_check=list(HealthCheck),
                ),
            )
        except AssertionError as error:
            said = "; ".join([str(error), *getattr(error, "__notes__", [])])
            raise OverlayError(
                f"{kind}: not as the model says, with --seed {number}: {said}"
            ) from None


@contextlib.contextmanager
def _database(kind):
    """
    Yield the settings of a database with a table, and a function that returns
    which of some sessions its server has.
    """
    if kind == "sqlite":
        with tempfile.TemporaryDirectory() as directory:
            name = f"{directory}/database"
            with contextlib.closing(sqlite3.connect(name)) as connection:
                connection.execute("PRAGMA journal_mode = wal")
                connection.execute("CREATE TABLE model (key integer)")
            yield {"NAME": name}, lambda sessions: []
        return
    import psycopg

    from checks.databases import postgresql

    query = "SELECT pid FROM pg_stat_activity WHERE pid = ANY(%s)"
    with (
        postgresql.embedded() as database,
        psycopg.connect(
            **postgresql.parameters(database), autocommit=True
        ) as connection,
    ):
        connection.execute("CREATE TABLE model (key integer)")
        try:
            yield (
                database,
                lambda sessions: connection.execute(query, [[*sessions]]).fetchall(),
            )
        finally:
            connection.execute("DROP TABLE model")


@contextlib.contextmanager
def _zygote(tree, database):
    """
    Yield a context manager for an example: a function that waits for the next
    process and returns its id and a function to have it do something. The
    first one is forked from one that has no connection.
    """
    with (
        tempfile.TemporaryDirectory() as directory,
        socket.socket(socket.AF_UNIX) as listener,
    ):
        listener.bind(f"{directory}/socket")
        listener.listen(MOST)
        listener.settimeout(PATIENCE)
        zygote = subprocess.Popen(
            [sys.executable, "-W", "ignore", ACTOR, json.dumps(database)]
            + [listener.getsockname()],
            env={"PYTHONPATH": str(tree)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        pids, files = [], []

        def accept():
            control, _ = listener.accept()
            with control:
                control.settimeout(PATIENCE)
                files.append(control.makefile("rw"))
            file = files[-1]
            pids.append(json.loads(file.readline()))
            return pids[-1], lambda *command: _say(file, command)

        def end(first):
            """End the processes from the number `first` on."""
            for pid in pids[first:]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            for file in files[first:]:
                # What wasn't sent to a process that is gone.
                with contextlib.suppress(OSError):
                    file.close()
            del pids[first:], files[first:]

        @contextlib.contextmanager
        def example():
            say("fork")
            try:
                yield accept
            finally:
                gone = pids[1:]
                end(1)
                deadline = time.monotonic() + PATIENCE
                while any(map(_running, gone)):
                    assert time.monotonic() < deadline, "a process does not end"
                    time.sleep(0.002)

        try:
            _, say = accept()
            yield example
        finally:
            end(0)
            # It may never have come to say its id.
            zygote.kill()
            zygote.wait()


def _running(pid):
    import psutil

    with contextlib.suppress(psutil.NoSuchProcess):
        # Its parent may be gone, and nobody look at how it ended.
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def _say(file, command):
    """Have a process do what `command` says, and return what it answers."""
    try:
        print(json.dumps(command), file=file, flush=True)
        line = file.readline()
    except OSError as error:
        raise AssertionError(f"{command} has no answer: {error}") from None
    assert line or command[0] == "end", f"{command} ended the process"
    return json.loads(line or "{}")


def rules(kind, start, observe):
    """
    Return a RuleBasedStateMachine of Hypothesis's for connections of `kind`.

    `start()` is a context manager that yields a function which waits for the
    next process and returns its id and a function to have it do something;
    `observe(sessions)` returns those of `sessions` that the server still has.
    """
    from hypothesis import strategies as st
    from hypothesis.stateful import (
        Bundle,
        RuleBasedStateMachine,
        initialize,
        multiple,
        rule,
    )

    sqlite, pool = kind == "sqlite", kind == "pool"
    keys = iter(range(1, 10**9))

    class Forks(RuleBasedStateMachine):
        processes = Bundle("processes")

        def __init__(self):
            super().__init__()
            self.stack = contextlib.ExitStack()
            self.accept = self.stack.enter_context(start())
            self.alive = []
            self.ended = []
            self.first = next(keys)
            self.committed = []

        def teardown(self):
            self.stack.close()

        @initialize(target=processes)
        def begin(self):
            process = Process(*self.accept())
            self.alive.append(process)
            return process

        def owned(self, process, session):
            """The session is the process's, and never was another one's."""
            others = [each for each in self.alive + self.ended if each is not process]
            assert all(session not in each.sessions for each in others), session
            process.sessions.add(session)

        def usable(self, process):
            return not (process.lost or process.failed)

        def writable(self, process):
            # SQLite has one writer at a time.
            return not sqlite or not any(
                each.blocks for each in self.alive if each is not process
            )

        def refused(self, process, *command):
            """A query in a block that can't be used is an error."""
            answer = process.say(*command)
            if process.lost == CLOSE:
                # The driver's own, for a connection that is closed.
                assert "error" in answer, answer
            else:
                broken = "TransactionManagementError"
                error = "ProgrammingError" if process.lost else broken
                assert answer == {"error": error}, answer

        def done(self, process, *command):
            answer = process.say(*command)
            assert "error" not in answer, answer
            if answer["session"] is not None:
                self.owned(process, answer["session"])
            return answer["answer"]

        @rule(process=processes)
        def query(self, process):
            if process not in self.alive:
                return
            if not self.usable(process):
                self.refused(process, "query")
                return
            session = self.done(process, "query")
            self.owned(process, session)
            if process.session is not None:
                assert session == process.session
            process.session = session

        @rule(process=processes, how=st.sampled_from(["query_in_thread", "query_copy"]))
        def query_otherwise(self, process, how):
            """Other wrappers have sessions of their own."""
            if process in self.alive:
                session = self.done(process, how)
                if not sqlite:
                    assert session != process.session
                self.owned(process, session)

        @rule(process=processes)
        def insert(self, process):
            if process not in self.alive or not self.writable(process):
                return
            key = next(keys)
            if not self.usable(process):
                self.refused(process, "insert", key)
                return
            self.done(process, "insert", key)
            if process.blocks:
                process.blocks[-1].rows.append(key)
            elif process.autocommit:
                self.committed.append(key)
            else:
                process.rows.append(key)

        @rule(process=processes)
        def rows(self, process):
            """Each sees what is committed, and what it did itself."""
            if process not in self.alive:
                return
            if not self.usable(process):
                self.refused(process, "rows", self.first)
                return
            seen = self.done(process, "rows", self.first)
            assert sorted(seen) == sorted(self.committed + process.visible())

        @rule(process=processes)
        def on_commit(self, process):
            if process not in self.alive or not process.autocommit:
                return
            if process.failed and not process.lost:
                return
            key = next(keys)
            self.done(process, "on_commit", key)
            if not process.blocks:
                process.calls.append(key)
            elif not process.lost:
                process.blocks[-1].calls.append(key)

        @rule(process=processes)
        def calls(self, process):
            if process in self.alive:
                assert self.done(process, "calls") == process.calls

        @rule(process=processes, savepoint=st.booleans())
        def enter(self, process, savepoint):
            if process not in self.alive or not self.writable(process):
                return
            # With autocommit off, blocks are savepoints only: tests/backends.
            if process.autocommit and len(process.blocks) < 4:
                self.done(process, "enter", savepoint)
                process.enter(savepoint)

        @rule(process=processes, failing=st.booleans())
        def leave(self, process, failing):
            if process in self.alive and process.blocks:
                self.done(process, "leave", failing)
                self.committed += process.leave(failing)

        @rule(process=processes)
        def switch_autocommit(self, process):
            if process not in self.alive or process.blocks or sqlite:
                return
            if not process.autocommit:
                self.done(process, "commit")
                self.committed += process.rows
                process.rows = []
            process.autocommit = not process.autocommit
            self.done(process, "set_autocommit", process.autocommit)

        @rule(process=processes, what=st.sampled_from(["commit", "rollback"]))
        def end_transaction(self, process, what):
            if process in self.alive and not process.autocommit:
                self.done(process, what)
                if what == "commit":
                    self.committed += process.rows
                process.rows = []

        @rule(process=processes, how=st.sampled_from(["close", "close_all"]))
        def close(self, process, how):
            if process in self.alive:
                self.done(process, how)
                process.close()

        @rule(process=processes)
        def close_old(self, process):
            """A persistent connection stays, unless autocommit is off."""
            if process in self.alive and not process.blocks:
                self.done(process, "close_old")
                if pool or not process.autocommit:
                    process.close()

        @rule(process=processes)
        def close_pool(self, process):
            if process in self.alive and pool and not process.blocks:
                self.done(process, "close")
                process.close()
                self.done(process, "close_pool")

        @rule(
            target=processes,
            process=processes,
            how=st.sampled_from(["fork", "fork_in_thread", "fork_in_c"]),
        )
        def fork(self, process, how):
            if process not in self.alive or len(self.alive) == MOST:
                return multiple()
            # SQLite itself has no transaction across a fork, and Python no
            # fork in C with threads, such as a pool's.
            if (sqlite and process.blocks) or (pool and how == "fork_in_c"):
                return multiple()
            unclosable = sqlite and (
                how == "fork_in_thread" or not hasattr(sqlite3.Connection, "setconfig")
            )
            if unclosable:
                # So that the process has a connection.
                self.done(process, "query")
            pid = self.done(process, how)
            child_pid, say = self.accept()
            assert pid == child_pid
            if unclosable:
                # In WAL mode, what it wrote would get lost.
                assert say("query") == {"error": "OperationalError"}
                say("end", "_exit")
                return multiple()
            if how == "fork_in_thread":
                # The main thread's connection isn't this one's.
                child = Process(pid, say)
            else:
                child = process.forked(pid, say)
            self.alive.append(child)
            if sqlite and how == "fork_in_c":
                # If another thread notices, it can't know that nothing used
                # the connection.
                self.done(child, "query")
            return child

        @rule(process=processes, how=st.sampled_from(["exit", "_exit", "killed"]))
        def end(self, process, how):
            """Its sessions end with it, and no other process's do."""
            if process not in self.alive or len(self.alive) == 1:
                return
            process.say("end", how)
            self.alive.remove(process)
            self.ended.append(process)
            deadline = time.monotonic() + NOTICE
            while observe(process.sessions):
                assert time.monotonic() < deadline, "its sessions are still there"
                time.sleep(0.01)

    return Forks


if __name__ == "__main__":
    sys.exit(main())
