"""The command line: python3 -m overlay COMMAND."""

import argparse
import sys
from pathlib import Path

from overlay import console, environment, releases


def main(arguments=None):
    """Run the command that `arguments` name, and return its exit status."""
    options = _parser().parse_args(arguments)
    return console.run("overlay", _run, options)


def _run(options):
    # Only now, so that --help and a wrong option install nothing.
    environment.bootstrap("overlay", environment.TOOLS)
    return options.command(options)


def _checkout(options):
    from overlay.checkout import checkout, default_directory

    version = options.django or releases.default()
    releases.check(version)
    print(checkout(options.directory or default_directory(version), version))


def _export(options):
    from overlay.checkout import default_directory
    from overlay.export import export

    for file in export(options.directory or default_directory(releases.default())):
        console.say(f"{'Wrote' if file.exists() else 'Deleted'} {file}")


def _pull_request(options):
    from overlay.pull_request import pull_request

    print(pull_request(options.clone, follow_ups=options.all), end="")


def _status(options):
    from overlay.status import status

    found = []
    for sentence, right in status():
        print(sentence, flush=True)
        found.append(right)
    return int(not all(found))


def _pin(options):
    from overlay.pin import pin

    for file in pin(options.version):
        console.say(f"Wrote {file}")


def _parser():
    parser = argparse.ArgumentParser(
        prog="overlay", description="Work on the fork of Django that is kept here."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    checkout = commands.add_parser(
        "checkout",
        help="make the full fork, a git repository to edit and test in",
        description=(
            "Make the full fork in DIR, a git repository: Django's release, then one "
            "commit for each change of ours. Edit there, then export."
        ),
    )
    checkout.add_argument(
        "--django",
        metavar="VERSION",
        help="the release of Django (default: the newest of those kept here that this "
        "Python runs)",
    )
    checkout.add_argument(
        "directory",
        metavar="DIR",
        nargs="?",
        type=Path,
        help="a directory to make (default: build/django-VERSION)",
    )
    checkout.set_defaults(command=_checkout)
    export = commands.add_parser(
        "export",
        help="bring the edits of a checkout back into this repository",
        description=(
            "Bring what was edited in the checkout DIR, committed or not, back into "
            "this repository. A new file has to be named in overlay/manifest.toml; "
            "an edit of a file that several commits change has to be in one of them."
        ),
    )
    export.add_argument(
        "directory",
        metavar="DIR",
        nargs="?",
        type=Path,
        help="a checkout (default: the one that checkout makes by default)",
    )
    export.set_defaults(command=_export)
    pull_request = commands.add_parser(
        "pull-request",
        help="make the branch to submit, in a clone of django/django",
        description=(
            "In CLONE, a clean clone of django/django, make the branch ticket_36957: "
            "our commits on top of what is checked out there, for its version of "
            "Django. Print the text of the pull request."
        ),
    )
    pull_request.add_argument(
        "--all",
        action="store_true",
        help="with the commits that the pull request only offers",
    )
    pull_request.add_argument("clone", metavar="CLONE", type=Path)
    pull_request.set_defaults(command=_pull_request)
    status = commands.add_parser(
        "status",
        help="see whether everything applies to Django's newest releases",
        description=(
            "For each release that is pinned, and the newest of each series that pip "
            "finds, say whether every hunk applies, and whether it is as it was "
            "pinned. The status is 0 if so."
        ),
    )
    status.set_defaults(command=_status)
    pin = commands.add_parser(
        "pin",
        help="follow a newer release of a series",
        description=(
            "Put Django VERSION in place of the release of its series that is pinned, "
            "here and wherever that is named, if every hunk applies to it."
        ),
    )
    pin.add_argument("version", metavar="VERSION")
    pin.set_defaults(command=_pin)
    return parser


if __name__ == "__main__":
    sys.exit(main())
