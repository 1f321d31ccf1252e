"""Debian's MariaDB on a Unix socket."""

import contextlib
import socket

from checks.databases.serving import prepare, program, running, temporary, unprivileged

ENGINE = "django.db.backends.mysql"
USER = "root"

# The data only has to last as long as the run, so nothing waits for the disk.
SETTINGS = {
    "character-set-server": "utf8mb4",
    "innodb-buffer-pool-size": "256M",
    "innodb-doublewrite": "0",
    "innodb-flush-log-at-trx-commit": "0",
    "innodb-flush-method": "nosync",
    "max-connections": "300",
}


@contextlib.contextmanager
def mariadb():
    """
    Yield the settings, as in Django's DATABASES, of a MariaDB with data of its
    own. Raise OverlayError where it isn't installed or doesn't start.
    """
    install = program("mariadb-install-db", "mariadb-server")
    command = program("mariadbd", "mariadb-server")
    user = unprivileged("mysql")
    with temporary("mariadb", user) as directory:
        data, address = directory / "data", directory / "socket"
        prepare(
            "MariaDB",
            [install, "--no-defaults", f"--datadir={data}", "--skip-test-db"]
            + ["--auth-root-authentication-method=normal"],
            directory,
            user,
        )

        def ready():
            with socket.socket(socket.AF_UNIX) as client:
                return not client.connect_ex(str(address))

        settings = [f"--{name}={value}" for name, value in SETTINGS.items()]
        with running(
            "MariaDB",
            [command, "--no-defaults", f"--datadir={data}", f"--socket={address}"]
            + ["--skip-networking", f"--pid-file={directory / 'pid'}", *settings],
            directory,
            user,
            ready,
        ):
            yield {
                "ENGINE": ENGINE,
                "HOST": str(address),
                "USER": USER,
                "PASSWORD": "",
                "NAME": "django",
                "TEST": {"CHARSET": "utf8mb4"},
            }
