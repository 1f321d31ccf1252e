"""
How many sessions a database server has when workers × pools grow, by a formula
and by a simulation of processes that start, ask, and are replaced.
"""

import heapq
import random
from collections import deque
from typing import NamedTuple

from evidence import markdown

# In seconds: how long it is simulated, when the restart begins, how often the
# sessions are counted.
SECONDS, RESTART, STEP = 240, 60, 10

# Requests to each worker in a second, and how long each holds a connection, in
# seconds: with as many threads as its pool is large, it needs all of that.
RATE, HELD = 8, 0.1

SEED = 36957


class Fleet(NamedTuple):
    """
    Hosts with so many workers each, and one process that forks them and keeps
    a pool of its own; the least and the most connections of a pool; how many
    hosts are restarted at once, and for how many seconds their old workers
    live on beside the new ones; and how many sessions PgBouncer has in
    transaction mode, or 0 without it.
    """

    hosts: int
    workers: int = 10
    min_size: int = 2
    max_size: int = 4
    at_once: int = 10
    grace: int = 15
    bouncer: int = 0

    @property
    def processes(self):
        return self.hosts * (self.workers + 1)

    @property
    def of_host(self):
        """The most sessions of the pools of a host."""
        return self.min_size + self.workers * self.max_size

    @property
    def steady(self):
        """The most sessions of the pools, but for a restart."""
        return self.hosts * self.of_host

    @property
    def restarting(self):
        """The most sessions of the pools in a restart."""
        # Those of the parents, too, which are replaced with their workers.
        return self.steady + min(self.at_once, self.hosts) * self.of_host

    @property
    def server(self):
        """The most sessions of the database server."""
        return min(self.bouncer or self.restarting, self.restarting)


FLEETS = [
    Fleet(1, at_once=1),
    Fleet(10, at_once=1),
    Fleet(100),
    Fleet(100, at_once=100),
    Fleet(100, bouncer=100),
]


class Worker:
    """A process with a pool, which grows with what is asked at a time."""

    def __init__(self, fleet):
        self.size, self.busy, self.waiting = fleet.min_size, 0, 0


def simulated(fleet):
    """
    Return the sessions of the pools, and those of the database server, at each
    STEP, as a list of pairs.
    """
    dice, events, order = random.Random(SEED), [], iter(range(1 << 40))
    hosts = [[Worker(fleet) for _ in range(fleet.workers)] for _ in range(fleet.hosts)]
    ending = {}
    sessions = {"opened": 0, "active": 0}
    queue, counts = deque(), []

    def at(time, kind, subject=None):
        heapq.heappush(events, (time, next(order), kind, subject))

    def begin(now, worker):
        """Let a request that has a connection of its pool ask the server."""
        if fleet.bouncer and sessions["active"] >= fleet.bouncer:
            queue.append(worker)
            return
        sessions["active"] += 1
        sessions["opened"] = max(sessions["opened"], sessions["active"])
        at(now + dice.expovariate(1 / HELD), "end", worker)

    for host in range(fleet.hosts):
        at(dice.expovariate(RATE * fleet.workers), "request", host)
    for number in range(0, fleet.hosts, fleet.at_once):
        batch = range(number, min(number + fleet.at_once, fleet.hosts))
        # Once the last ones have ended.
        at(RESTART + number / fleet.at_once * (fleet.grace + 1), "restart", batch)
    for time in range(0, SECONDS + 1, STEP):
        at(time, "count")
    while events:
        now, _, kind, subject = heapq.heappop(events)
        if kind == "count":
            pools = sum(worker.size for workers in hosts for worker in workers)
            pools += fleet.hosts * fleet.min_size
            pools += sum(
                fleet.min_size + sum(worker.size for worker in workers)
                for workers in ending.values()
            )
            counts.append((pools, sessions["opened"] if fleet.bouncer else pools))
        elif kind == "request" and now < SECONDS:
            worker = dice.choice(hosts[subject])
            if worker.busy < worker.size or worker.size < fleet.max_size:
                worker.busy += 1
                worker.size = max(worker.size, worker.busy)
                begin(now, worker)
            else:
                worker.waiting += 1
            at(now + dice.expovariate(RATE * fleet.workers), "request", subject)
        elif kind == "end":
            sessions["active"] -= 1
            if queue:
                begin(now, queue.popleft())
            if subject.waiting:
                subject.waiting -= 1
                begin(now, subject)
            else:
                subject.busy -= 1
        elif kind == "restart":
            for host in subject:
                ending[host] = hosts[host]
                hosts[host] = [Worker(fleet) for _ in range(fleet.workers)]
            at(now + fleet.grace, "ended", subject)
        elif kind == "ended":
            for host in subject:
                del ending[host]
    return counts


def document(command):
    """Return what each of FLEETS comes to, for JSON."""
    return {
        "command": command,
        "fleets": [
            {**fleet._asdict(), "sessions": simulated(fleet)} for fleet in FLEETS
        ],
    }


def tables(document):
    """Return what the formula and the simulation say, as Markdown."""
    lines, pictures = [], []
    for row in document["fleets"]:
        fleet = Fleet(**{name: row[name] for name in Fleet._fields})
        before = RESTART // STEP
        pools, server = zip(*row["sessions"])
        lines.append(
            [
                f"{fleet.hosts} × ({fleet.workers} + 1)",
                str(min(fleet.at_once, fleet.hosts)),
                str(fleet.bouncer or "no"),
                *(f"{number:,}" for number in (fleet.steady, max(pools[:before]))),
                *(f"{number:,}" for number in (fleet.restarting, max(pools))),
                *(f"{number:,}" for number in (fleet.server, max(server))),
            ]
        )
        if fleet.hosts == max(each["hosts"] for each in document["fleets"]):
            pictures.append(_picture(fleet, server))
    header = ("processes", "at once", "PgBouncer", "pools", "simulated")
    header += ("in a restart", "simulated", "of the server", "simulated")
    made = markdown.filled(f"Printed by `{document['command']}`.")
    return "\n\n".join([markdown.table(header, lines, right=8), *pictures, made])


def _picture(fleet, server):
    how = f"through {fleet.bouncer} of PgBouncer's" if fleet.bouncer else "directly"
    return "\n".join(
        [
            "```mermaid",
            "xychart-beta",
            f'    title "{fleet.processes:,} processes, {how}, '
            f'{min(fleet.at_once, fleet.hosts)} hosts restarted at once"',
            f'    x-axis "seconds" 0 --> {SECONDS}',
            f'    y-axis "sessions" 0 --> {max(server)}',
            f"    line [{', '.join(map(str, server))}]",
            "```",
        ]
    )
