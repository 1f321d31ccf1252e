"""
The specification in code: what a fork does to the database connection of a
process, as a model of which process has which session of the server, and
which rows it sees. checks.machine compares it with what Django does.
"""

CLOSE, FORK = "close", "fork"


class Block:
    """
    An atomic block: whether it has a savepoint of its own, and what was done
    in it, rows inserted and functions to call on commit.
    """

    def __init__(self, savepoint):
        self.savepoint = savepoint
        self.rows = []
        self.calls = []


class Process:
    """What the model knows of a process, and of its connection."""

    def __init__(self, pid, say):
        self.pid = pid
        self.say = say
        # The server's session that the connection has, if it is known.
        self.session = None
        # All that are this process's.
        self.sessions = set()
        self.autocommit = True
        # Rows that were inserted without autocommit.
        self.rows = []
        self.blocks = []
        # Why the block can't be used: its connection is gone, by close() in
        # it or by a fork.
        self.lost = None
        # Whether a block failed that had no savepoint.
        self.failed = False
        self.calls = []

    def visible(self):
        """The rows that only this process sees, as they aren't committed."""
        return [*self.rows, *(row for block in self.blocks for row in block.rows)]

    def lose(self, how):
        """The connection is gone, and with it what wasn't committed."""
        self.session = None
        self.rows = []
        for block in self.blocks:
            block.rows, block.calls = [], []
        # A block that was entered can't go on in another session.
        self.lost = how if self.blocks else None

    def forked(self, pid, say):
        """
        Return the model of a child: it has no session, and is in the blocks
        that its parent is in, but can't use them; nothing that its parent
        didn't commit is its own, to be committed or called. Autocommit that
        its parent switched off is off.
        """
        child = Process(pid, say)
        child.blocks = [Block(False) for block in self.blocks]
        child.lose(FORK)
        child.autocommit = self.autocommit
        return child

    def close(self):
        """Close the connection, which ends what was set for it alone."""
        if not self.lost:
            self.lose(CLOSE)
        if not self.blocks:
            self.autocommit = True

    def enter(self, savepoint):
        self.blocks.append(Block(savepoint and bool(self.blocks) and not self.failed))

    def leave(self, failing):
        """Leave a block, and return the rows that are committed by that."""
        block = self.blocks.pop()
        outer = self.blocks[-1] if self.blocks else None
        if self.lost:
            if not outer:
                self.lost, self.failed = None, False
        elif not failing and not self.failed:
            if not outer:
                self.calls += block.calls
                return block.rows
            outer.rows += block.rows
            outer.calls += block.calls
        elif outer and not block.savepoint:
            # To be rolled back with the next one.
            self.failed = True
            outer.rows += block.rows
        else:
            self.failed = False
        return []
