"""The load: asking for tokens, and what comes back for each."""

import http.client
import json
import os
import selectors
import time
import uuid
from concurrent.futures import ThreadPoolExecutor, as_completed

from evidence.count import HUNG, Answer

# In seconds; the slowest answer of a process that doesn't hang is far below.
PATIENCE = 5
CONCURRENCY = 8


def requests(address, tokens, deadline):
    """
    Yield the Answers to as many requests as `tokens` to the web server at
    `address`, several at a time. None starts after `deadline`, a time of
    time.monotonic().
    """
    executor = ThreadPoolExecutor(CONCURRENCY)
    try:
        for future in as_completed(
            executor.submit(_request, address, uuid.uuid4().hex, deadline)
            for _ in range(tokens)
        ):
            if answer := future.result():
                yield answer
    finally:
        # Without waiting, since the server may be about to be ended.
        executor.shutdown(wait=False, cancel_futures=True)


def _request(address, token, deadline):
    if time.monotonic() > deadline:
        return None
    connection = http.client.HTTPConnection(*address, timeout=PATIENCE)
    try:
        connection.request("GET", f"/{token}")
        response = connection.getresponse()
        body = response.read()
        if response.status != 200:
            return Answer(token, error=f"status {response.status}")
        return Answer(token, **json.loads(body))
    except TimeoutError:
        return Answer(token, error=HUNG)
    except (OSError, http.client.HTTPException, ValueError) as error:
        return Answer(token, error=f"{type(error).__name__}: {error}")
    finally:
        connection.close()


def lines(pipe, deadline):
    """
    Yield the Answers that the processes of app.forking write to `pipe` until
    all of them have ended, or none has written for a while, or `deadline`.
    """
    asked, ended = set(), False
    for line in _read(pipe, deadline):
        if line is None:
            ended = True
        elif "token" in line or "error" in line:
            asked.remove(line["asked"])
            yield Answer(**line)
        else:
            asked.add(line["asked"])
    if not ended and not asked:
        # Everything is answered, but a process doesn't come to its end.
        asked.add("the end")
    for token in asked:
        yield Answer(token, error="the process ended" if ended else HUNG)


def _read(pipe, deadline):
    """Yield each line, parsed, and None for the end, where there is one."""
    buffer = b""
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        while (left := deadline - time.monotonic()) > 0:
            if not selector.select(min(PATIENCE, left)):
                return
            data = os.read(pipe.fileno(), 65536)
            if not data:
                yield None
                return
            *complete, buffer = (buffer + data).split(b"\n")
            yield from map(json.loads, complete)
