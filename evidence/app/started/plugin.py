"""A plugin of pytest's that asks the database before the first test."""

from app.child import outcome
from pytest_django.plugin import blocking_manager_key


def _session(config):
    from app.child import session

    with config.stash[blocking_manager_key].unblock():
        return outcome(session)


def pytest_sessionstart(session):
    session.config.asked = _session(session.config)


def pytest_sessionfinish(session):
    kept = _session(session.config) == session.config.asked
    print("\nparent: its parent has", "its session" if kept else "lost its session")
