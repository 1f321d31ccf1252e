"""
Unified diffs whose hunks are placed by their content.

A hunk applies where its context and removed lines stand exactly once in the
file, wherever that is, so that one patch serves several releases, and where
what it adds isn't there already. The numbers in hunk headers place nothing;
make() counts them as though the hunks were the whole file, so that they don't
depend on the release.
"""

from difflib import SequenceMatcher
from io import StringIO
from typing import NamedTuple

from unidiff import PatchSet
from unidiff.constants import LINE_TYPE_NO_NEWLINE
from unidiff.errors import UnidiffParseError

from overlay.errors import OverlayError

# How much a place has to be like a hunk to be named in its stead, from 0 to 1.
LIKE = 0.6

NO_NEWLINE = "\\ No newline at end of file\n"


class Hunk(NamedTuple):
    """What a hunk replaces, by what, and the first line that it changes."""

    before: list[str]
    after: list[str]
    label: str


def apply(patch, source, release):
    """
    Return `source` with each hunk of `patch` applied where it stands once.

    Raise OverlayError, naming file, hunk, and `release`, for a hunk that
    stands nowhere or more than once, for hunks that overlap, and for what is
    not a patch of one file.
    """
    path, hunks = parse(patch)
    lines = _lines(source)
    placed = []
    for number, hunk in enumerate(hunks, 1):
        name = f"{path}.patch: hunk {number} of {len(hunks)} ({hunk.label!r})"
        already = (
            f"{name} does not apply: what it makes is in Django {release}'s {path} "
            "already; leave it out."
        )
        starts = _find(hunk.before, lines)
        if _adds(hunk.before, hunk.after) and _find(hunk.after, lines):
            raise OverlayError(already)
        elif len(starts) == 1:
            placed.append((starts[0], starts[0] + len(hunk.before), hunk, name))
        elif not hunk.before:
            raise OverlayError(
                f"{name} has no context line that places it in Django {release}'s "
                f"{path}: add one."
            )
        elif _find(hunk.after, lines):
            raise OverlayError(already)
        else:
            places = f"{len(starts)} times" if starts else "nowhere"
            raise OverlayError(
                f"{name} does not apply: its context and removed lines stand "
                f"{places} in Django {release}'s {path} instead of once"
                f"{'' if starts else _nearest(hunk.before, lines)}; change them."
            )
    placed.sort(key=lambda place: place[0])
    result, position = [], 0
    for start, end, hunk, name in placed:
        if start < position:
            raise OverlayError(
                f"{name} overlaps another one in Django {release}'s {path}: make "
                "them one hunk."
            )
        result += lines[position:start] + hunk.after
        position = end
    return "".join(result + lines[position:])


def parse(patch):
    """
    Return the path that `patch` changes and its hunks.

    Raise OverlayError for what is not a patch of one file, with hunks whose
    headers count their lines rightly.
    """
    try:
        files = PatchSet.from_string(patch)
    except UnidiffParseError as error:
        raise OverlayError(f"{_name(patch)}: not a unified diff: {error}.") from None
    if len(files) != 1 or not files[0]:
        raise OverlayError(
            f"{_name(patch)}: a patch has hunks for one file, this has "
            f"{sum(map(len, files))} for {len(files)}."
        )
    # unidiff passes over lines beyond those that a header counts.
    lines = _lines(patch)
    body = lines[next(i for i, line in enumerate(lines) if line.startswith("@@ ")) :]
    if len(body) != sum(1 + len(hunk) for hunk in files[0]):
        raise OverlayError(
            f"{_name(patch)}: the header of a hunk counts fewer lines than follow it."
        )
    return files[0].path, [_hunk(hunk) for hunk in files[0]]


def make(path, old, new, others=()):
    """
    Return the patch of `path` that turns `old` into `new`: "" if they are the
    same, else each hunk with the fewest context lines that place it.

    It also applies to each of `others`, the same file in other releases, where
    some number of context lines achieves that.
    """
    if old == new:
        return ""
    old, new = _lines(old), _lines(new)
    blocks = [
        opcode[1:]
        for opcode in SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
        if opcode[0] != "equal"
    ]
    hunks = _place(blocks, new, [old])
    texts = [old]
    for other in map(_lines, others):
        if placed := _place(blocks, new, [*texts, other]):
            texts.append(other)
            hunks = placed
    patch = f"--- a/{path}\n+++ b/{path}\n"
    old_line = new_line = 1
    for start, end, changes in hunks:
        body = []
        old_length = new_length = position = 0
        for old_start, old_end, new_start, new_end in changes:
            body += _body(" ", old[max(start, position) : old_start])
            body += _body("-", old[old_start:old_end])
            body += _body("+", new[new_start:new_end])
            new_length += (new_end - new_start) - (old_end - old_start)
            position = old_end
        body += _body(" ", old[position:end])
        old_length = end - start
        new_length += old_length
        patch += (
            f"@@ -{old_line if old_length else old_line - 1},{old_length} "
            f"+{new_line if new_length else new_line - 1},{new_length} @@\n"
        ) + "".join(body)
        old_line += old_length
        new_line += new_length
    return patch


def _name(patch):
    for line in _lines(patch):
        if line.startswith("+++ "):
            return line.removeprefix("+++ ").strip().removeprefix("b/") + ".patch"
    return "a patch without file names"


def _lines(text):
    # str.splitlines() would also split at form feeds and the like.
    return list(StringIO(text))


def _hunk(hunk):
    before, after, label = [], [], ""
    previous = ()
    for line in hunk:
        if line.line_type == LINE_TYPE_NO_NEWLINE:
            for side in previous:
                side[-1] = side[-1].removesuffix("\n")
            continue
        previous = [
            side
            for side, belongs in (
                (before, line.is_context or line.is_removed),
                (after, line.is_context or line.is_added),
            )
            if belongs
        ]
        for side in previous:
            side.append(line.value)
        if not label and not line.is_context:
            label = str(line).rstrip()
    return Hunk(before, after, label)


def _adds(before, after):
    """
    Return whether a hunk makes more lines than there are, so that these aren't
    found where it can still be applied, as they are after a removal.
    """
    return len(after) > len(before) > 0


def _find(needle, lines):
    return [
        start
        for start in range(len(lines) - len(needle) + 1)
        if lines[start : start + len(needle)] == needle
    ]


def _nearest(needle, lines):
    """Return in words which of `lines` are most like those of `needle`."""
    wanted = "".join(needle)

    def likeness(start):
        found = "".join(lines[start : start + len(needle)])
        return SequenceMatcher(None, wanted, found).ratio()

    start = max(range(len(lines)), key=likeness, default=None)
    if start is None or likeness(start) < LIKE:
        return ""
    found = "".join(lines[start : start + len(needle)])
    return f": line {start + 1} has {found.strip()!r} instead of {wanted.strip()!r}"


def _place(blocks, new, texts):
    """
    Group `blocks`, the changes that make `new` of the first of `texts`, into
    hunks, each (start, end, blocks) with context enough to apply to every
    text.

    Return None where no context achieves that.
    """
    hunks, first, last = [], 0, 0
    while first < len(blocks):
        floor = hunks[-1][1] if hunks else 0
        more = last + 1 < len(blocks)
        ceiling = blocks[last + 1][0] if more else len(texts[0])
        span = _span(
            (blocks[first][0], blocks[last][1]),
            new[blocks[first][2] : blocks[last][3]],
            (floor, ceiling),
            texts,
        )
        if span:
            hunks.append((*span, blocks[first : last + 1]))
            first = last = last + 1
        elif more:
            last += 1
        elif hunks:
            first -= len(hunks.pop()[2])
        else:
            return None
    return hunks


def _span(replaced, added, limits, texts):
    """
    Return the smallest (start, end) around that of `replaced`, within
    `limits`, whose lines of the first of `texts` stand once in every text, and
    nowhere with `added` in place of those replaced.
    """
    (start, end), (floor, ceiling), lines = replaced, limits, texts[0]
    level = [(0, 0)]
    while level:
        alive = []
        for before, after in level:
            needle = lines[start - before : end + after]
            made = lines[start - before : start] + added + lines[end : end + after]
            counts = [len(_find(needle, text)) for text in texts]
            if all(count == 1 for count in counts) and not (
                _adds(needle, made) and any(_find(made, text) for text in texts)
            ):
                return start - before, end + after
            # More context never makes up for lines that stand nowhere.
            if 0 not in counts:
                alive.append((before, after))
        level = sorted(
            {
                (before, after)
                for old_before, old_after in alive
                for before, after in (
                    (old_before + 1, old_after),
                    (old_before, old_after + 1),
                )
                if start - before >= floor and end + after <= ceiling
            },
            key=lambda context: (abs(context[0] - context[1]), -context[0]),
        )
    return None


def _body(sign, lines):
    return [
        sign + (line if line.endswith("\n") else f"{line}\n{NO_NEWLINE}")
        for line in lines
    ]
