import random

import pytest

from overlay import patches
from overlay.errors import OverlayError

PATH = "django/a.py"


def patch(*hunks):
    return f"--- a/{PATH}\n+++ b/{PATH}\n" + "".join(hunks)


CHANGE_B = "@@ -7,2 +7,2 @@\n a\n-b\n+B\n"


@pytest.mark.parametrize("above", ["", "x\n", "x\n" * 100])
def test_hunk_applies_wherever_it_stands_once(above):
    assert patches.apply(patch(CHANGE_B), above + "a\nb\nc\n", "6.1.3") == (
        above + "a\nB\nc\n"
    )


@pytest.mark.parametrize(
    "source, places", [("a\nc\n", "nowhere"), ("a\nb\na\nb\n", "2 times")]
)
def test_hunk_that_stands_nowhere_or_twice_is_named(source, places):
    with pytest.raises(OverlayError) as caught:
        patches.apply(patch("@@ -1,1 +1,2 @@\n c\n+d\n", CHANGE_B), "c\n" + source, "9")
    message = str(caught.value)
    for part in ("django/a.py", "hunk", "Django 9"):
        assert part in message
    with pytest.raises(OverlayError, match=rf"hunk 1 of 1 \('-b'\).*{places}"):
        patches.apply(patch(CHANGE_B), source, "9")


def test_what_stands_there_instead_is_named():
    source = "x\na = pools.get(alias)\ny\n"
    renamed = patch("@@ -1,1 +1,2 @@\n a = _pools.get(alias)\n+b\n")
    with pytest.raises(OverlayError) as caught:
        patches.apply(renamed, source, "9")
    assert str(caught.value).endswith(
        "instead of once: line 2 has 'a = pools.get(alias)' instead of "
        "'a = _pools.get(alias)'; change them."
    )
    with pytest.raises(OverlayError, match="instead of once; change them"):
        patches.apply(renamed, "nothing\nlike it\n", "9")


@pytest.mark.parametrize(
    "hunk, source",
    [
        (CHANGE_B, "x\na\nB\n"),
        # Its context stands there as it did before.
        ("@@ -1,1 +1,2 @@\n a\n+b\n", "x\na\nb\n"),
        ("@@ -1,1 +1,2 @@\n+b\n c\n", "x\nb\nc\n"),
        ("@@ -1,2 +1,4 @@\n a\n-b\n+B\n+b\n+c\n", "a\nB\nb\nc\na\nb\n"),
    ],
)
def test_hunk_that_is_in_already_is_named(hunk, source):
    with pytest.raises(OverlayError, match="is in Django 9's .* already; leave it out"):
        patches.apply(patch(hunk), source, "9")


def test_hunk_that_removes_leaves_what_is_there():
    assert patches.apply(patch("@@ -1,2 +1,1 @@\n a\n-b\n"), "a\na\nb\n", "9") == (
        "a\na\n"
    )


def test_make_adds_context_where_what_is_added_is_there():
    """apply() would take it for what the hunk has made."""
    old = "a\nb\nc\n"
    made = patches.make(PATH, old, "a\nb\nb\nc\n")
    assert patches.apply(made, old, "9") == "a\nb\nb\nc\n"


def test_only_whole_lines_match():
    with pytest.raises(OverlayError, match="nowhere"):
        patches.apply(patch(CHANGE_B), "aa\nb\n", "9")
    with pytest.raises(OverlayError, match="nowhere"):
        patches.apply(patch(CHANGE_B), "a\nb", "9")


def test_hunks_may_have_moved_past_each_other():
    other = "@@ -1,1 +1,2 @@\n z\n+after z\n"
    assert patches.apply(patch(CHANGE_B, other), "z\na\nb\n", "9") == (
        "z\nafter z\na\nB\n"
    )


def test_hunks_are_matched_against_the_original():
    adds = "@@ -9,1 +9,3 @@\n c\n+a\n+b\n"
    for hunks in ([CHANGE_B, adds], [adds, CHANGE_B]):
        assert patches.apply(patch(*hunks), "a\nb\nc\n", "9") == "a\nB\nc\na\nb\n"
        with pytest.raises(OverlayError, match=r"\('-b'\).* nowhere"):
            patches.apply(patch(*hunks), "c\n", "9")


def test_hunks_that_overlap_are_an_error():
    overlapping = "@@ -1,2 +1,2 @@\n-a\n+A\n b\n"
    with pytest.raises(OverlayError, match="overlaps"):
        patches.apply(patch(CHANGE_B, overlapping), "a\nb\n", "9")


def test_insertion_needs_context():
    with pytest.raises(OverlayError, match="no context"):
        patches.apply(patch("@@ -0,0 +1,1 @@\n+a\n"), "b\n", "9")
    assert patches.apply(patch("@@ -0,0 +1,1 @@\n+a\n"), "", "9") == "a\n"


@pytest.mark.parametrize(
    "broken",
    [
        "",
        "rubbish\n",
        patch(),
        patch(CHANGE_B) + patch(CHANGE_B).replace("a.py", "b.py"),
        patch("@@ -1,3 +1,3 @@\n a\n-b\n+B\n"),
        patch("@@ -1,1 +1,2 @@\n a\n+b\n+c\n"),
        patch("@@ -1,1 +1,1 @@\n a\nb\n"),
    ],
)
def test_what_is_no_patch_of_one_file_is_an_error(broken):
    with pytest.raises(OverlayError):
        patches.apply(broken, "a\nb\n", "9")


def test_make_gives_as_few_context_lines_as_place_a_hunk():
    old = "".join(f"{line}\n" for line in "abcdabeb")
    new = old.replace("c\n", "").replace("e\n", "E\n")
    assert patches.make(PATH, old, new) == patch(
        "@@ -1,1 +0,0 @@\n-c\n", "@@ -2,1 +1,1 @@\n-e\n+E\n"
    )
    # An insertion after the second of three b needs the line after it.
    new = old.replace("b\ne\n", "b\nnew\ne\n")
    assert patches.make(PATH, old, new) == patch("@@ -1,1 +1,2 @@\n+new\n e\n")
    # Where the line after it belongs to the hunk before, they become one.
    assert patches.make(PATH, "x\ny\nx\n", "x\nY\nx\nz\n") == patch(
        "@@ -1,2 +1,3 @@\n-y\n+Y\n x\n+z\n"
    )
    # And between repeated lines it needs both sides.
    assert patches.make(PATH, "x\ny\nx\nx\n", "x\ny\nx\nnew\nx\n") == patch(
        "@@ -1,2 +1,3 @@\n x\n+new\n x\n"
    )


def test_make_does_not_depend_on_where_the_lines_are():
    old, new = "b\nc\n", "b\nnew\nc\n"
    assert patches.make(PATH, old, new) == patches.make(
        PATH, "1\n2\n" + old + "3\n", "1\n2\n" + new + "3\n"
    )


def test_make_serves_other_releases_where_it_can():
    old, new = "a\nb\nc\n", "a\nb\nnew\nc\n"
    other = "b\nx\na\nb\nc\n"
    made = patches.make(PATH, old, new, [other])
    assert patches.apply(made, old, "1") == new
    assert patches.apply(made, other, "2") == "b\nx\na\nb\nnew\nc\n"
    assert patches.make(PATH, old, new, ["nothing\n"]) == patches.make(PATH, old, new)


def test_make_takes_no_time_over_a_release_without_the_lines():
    lines = [f"{number}\n" for number in range(2000)]
    old, new = "".join(lines), "".join(lines[:1000] + ["new\n"] + lines[1000:])
    made = patches.make(PATH, old, new, ["other\n" * 2000])
    assert made == patch("@@ -1,1 +1,2 @@\n 999\n+new\n")


def test_lines_end_at_newlines_only():
    hunk = "@@ -1,1 +1,1 @@\n-b\u2028c\x0c\n+x\n"
    assert patches.apply(patch(hunk), "a\nb\u2028c\x0c\n", "9") == "a\nx\n"


def test_make_of_no_change_is_empty():
    assert patches.make(PATH, "a\n", "a\n") == ""


@pytest.mark.parametrize(
    "old, new",
    [
        ("a", "a\n"),
        ("a\n", "a"),
        ("a\nb", "a\nB"),
        ("a\nb", "A\nb"),
        ("", "a\n"),
        ("a\n", ""),
        ("\x0ca\r\nb\u2028c\n", "\x0ca\r\nb\u2028C\n"),
        ("a\n--- b\n", "a\n"),
        ("a\n", "a\n++ b\n@@ -1 +1 @@\n"),
    ],
)
def test_make_and_apply_handle_every_text(old, new):
    assert patches.apply(patches.make(PATH, old, new), old, "9") == new


def test_make_and_apply_are_inverse_for_any_change():
    random_numbers = random.Random(36957)
    for _ in range(500):
        old = random_numbers.choices("abc", k=random_numbers.randrange(15))
        new = list(old)
        for _ in range(random_numbers.randrange(1, 5)):
            place = random_numbers.randrange(len(new) + 1)
            new[place : place + random_numbers.randrange(3)] = random_numbers.choices(
                "abcd", k=random_numbers.randrange(3)
            )
        end = random_numbers.choice(["", "\n"])
        old, new = "\n".join(old) + end, "\n".join(new) + end
        if made := patches.make(PATH, old, new):
            assert patches.apply(made, old, "9") == new
            assert patches.make(PATH, old, new) == made
