"""The command line: python3 -m overlay COMMAND."""

import argparse
import re
import sys
from pathlib import Path

from overlay import OverlayError, checkout, releases, run, say, upstream


def main(arguments=None):
    """Run the command that `arguments` name, and return its exit status."""
    options = _parser().parse_args(arguments)
    return run("overlay", options.command, options)


def _checkout(options):
    version = options.django or releases.usable()
    # What can be patched, this Python need not be able to run.
    releases.series(version)
    directory = options.directory or checkout.default_directory(version)
    if re.fullmatch(r"\d+(\.\d+)+", str(directory)):
        raise OverlayError(
            f"{directory} is the name of a directory here: write --django={directory} "
            f"for a release, or ./{directory}/ with a name in it."
        )
    print(checkout.checkout(directory, version))


def _export(options):
    directory = options.directory or checkout.default_directory(releases.usable())
    for path in checkout.export(directory):
        say(f"{'Wrote' if path.exists() else 'Removed'} {path}")


def _pull_request(options):
    print(upstream.pull_request(options.clone, options.all), end="")


def _status(options):
    right = True
    for sentence, applies in upstream.status():
        print(sentence, flush=True)
        right = right and applies
    return int(not right)


def _parser():
    parser = argparse.ArgumentParser(
        prog="overlay", description="Work on the patched Django that is kept here."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name, command, text):
        added = commands.add_parser(name, help=text, description=text)
        added.set_defaults(command=command)
        return added

    made = add("checkout", _checkout, "Make the patched Django as a git repository.")
    made.add_argument("--django", metavar="VERSION", help="the release of Django")
    edited = add("export", _export, "Bring the commits of a checkout back here.")
    for each in (made, edited):
        default = "default: build/django-VERSION"
        each.add_argument(
            "directory", metavar="DIR", nargs="?", type=Path, help=default
        )
    pull_request = add(
        *("pull-request", _pull_request),
        "Make the branch to submit in a clone of django/django, and print its text.",
    )
    pull_request.add_argument("clone", metavar="CLONE", type=Path)
    pull_request.add_argument("--all", action="store_true", help="with the follow-ups")
    add("status", _status, "See whether every hunk applies to Django's releases.")
    return parser


if __name__ == "__main__":
    sys.exit(main())
