"""The load: asking for tokens, and what comes back for each."""

import http.client
import json
import time
import uuid
from concurrent.futures import ThreadPoolExecutor, as_completed

from evidence.count import HUNG, Answer

# In seconds; the slowest answer of a process that doesn't hang is far below.
PATIENCE = 5
CONCURRENCY = 8

# What a worker has accepted and not read is lost when it is replaced. A GET
# may be sent again then (RFC 9110, 9.2.2).
ATTEMPTS = 3


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
    for _ in range(ATTEMPTS):
        if time.monotonic() > deadline:
            return None
        try:
            return _attempt(address, token)
        except ConnectionResetError as error:
            answer = Answer(token, error=f"{type(error).__name__}: {error}")
    return answer


def _attempt(address, token):
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
    except ConnectionResetError:
        raise
    except (OSError, http.client.HTTPException, ValueError) as error:
        return Answer(token, error=f"{type(error).__name__}: {error}")
    finally:
        connection.close()


def told(path, process, deadline):
    """
    Yield the Answers that processes tell in the file at `path` until
    `process`, which started them, has ended, or none has told anything for a
    while, or `deadline`.
    """
    asked, ended = {}, False
    for line in _lines(path, process, deadline):
        if line is None:
            ended = True
        elif "token" in line or "error" in line:
            asked.pop(line["asked"], None)
            yield Answer(**line)
        else:
            asked[line["asked"]] = line.get("parent", False)
    if not ended and not asked:
        # Everything is answered, but the parent doesn't come to its end.
        asked["the end"] = True
    for token, parent in asked.items():
        error = "the process ended" if ended else HUNG
        yield Answer(token, error=error, parent=parent)


def _lines(path, process, deadline):
    """Yield each line, parsed, and None for the end, where there is one."""
    with open(path, "rb") as file:
        buffer, last = b"", time.monotonic()
        while time.monotonic() < min(last + PATIENCE, deadline):
            ended = process.poll() is not None
            data = file.read()
            if data:
                last = time.monotonic()
                *complete, buffer = (buffer + data).split(b"\n")
                yield from map(json.loads, complete)
            elif ended:
                yield None
                return
            else:
                time.sleep(0.02)
