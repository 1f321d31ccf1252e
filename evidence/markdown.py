"""Markdown of what isn't Markdown."""

import html


def table(header, lines, right=0):
    """Return a table, the last `right` columns to the right."""
    rule = ["---"] * (len(header) - right) + ["--:"] * right
    return "\n".join(
        f"| {' | '.join(map(text, line))} |" for line in (header, rule, *lines)
    )


def text(string):
    """Return `string`, on one line and with nothing that is Markdown's own."""
    return html.escape(" ".join(string.split()), quote=False).replace("|", "\\|")
