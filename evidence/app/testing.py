"""Django's test runner, whose processes are forked after a query."""

from app.telling import ask, ask_before_fork

from django.test.runner import DiscoverRunner


class Runner(DiscoverRunner):
    def setup_databases(self, **options):
        databases = super().setup_databases(**options)
        ask_before_fork()
        return databases

    def teardown_databases(self, old_config, **options):
        # Its processes have ended.
        ask(3, parent=True)
        super().teardown_databases(old_config, **options)
