"""What processes do that were started after a query, as cases."""

from evidence import trial
from evidence.cases import OWN, PARENTS, Case

BOTH = (trial.POOL, trial.PERSISTENT)
PYTEST = ("pytest==9.2.0", "pytest-django==4.14.0")

NOTIFIED, NOTHING = "notified", "nothing"
PASSES, FAILS = "it passes", "it fails"

CASES = [
    Case("double_fork", "ask, its parent's child's child", PARENTS, OWN, BOTH),
    *(
        Case(
            "closed_before",
            f"ask, {kind}, where `os.register_at_fork(before=connections.close_all)` "
            "was called",
            f"{whose}; {PARENTS} is lost",
            f"{OWN}; {PARENTS} is lost",
            (kind,),
        )
        for kind, whose in ((trial.PERSISTENT, OWN), (trial.POOL, PARENTS))
    ),
    Case(
        "daemon",
        "ask, as a daemon of python-daemon, which closes all descriptors",
        "OperationalError: connection socket closed",
        OWN,
        BOTH,
        ("python-daemon==3.1.2",),
    ),
    Case("preexec", "ask, in the `preexec_fn` of a program", PARENTS, OWN, BOTH),
    Case("forkpty", "ask, after `os.forkpty()`", PARENTS, OWN, BOTH),
    Case(
        "forkserver",
        "ask, of a forkserver whose `set_forkserver_preload()` names a module that "
        "asks",
        PARENTS,
        OWN,
        BOTH,
    ),
    Case(
        "advisory_lock",
        "take an advisory lock that its parent has",
        "taken",
        "refused",
        BOTH,
    ),
    Case(
        "advisory_lock_after",
        "take an advisory lock, before its parent tries to",
        "taken; taken in its parent",
        "taken; refused in its parent",
        BOTH,
    ),
    Case("listen", "listen, and be notified", "nothing", "notified", BOTH),
    Case("listened", "be notified where its parent listens", NOTIFIED, NOTHING, BOTH),
    Case(
        "listened_anew",
        "the same where each connection listens, as in the recipe",
        NOTIFIED,
        NOTIFIED,
        BOTH,
    ),
    Case(
        "session_state",
        "act as another user, as in the recipe",
        f"{PARENTS}, as one",
        f"{OWN}, as one",
        BOTH,
    ),
    Case(
        "imap",
        "ask for each row of an `iterator()`, by "
        "`multiprocessing.Pool(maxtasksperchild=2).imap()` and with a pool",
        "hangs or loses rows",
        "40 of 40 rows",
        (trial.POOL,),
    ),
    Case(
        "asynchronous",
        "ask through the asynchronous ORM, which its parent has used",
        "hangs",
        "hangs",
        BOTH,
    ),
    Case(
        "asynchronous_renewed",
        "the same with a new executor, as in the recipe",
        "an answer",
        "an answer",
        BOTH,
    ),
    *(
        Case(function, what, *outcomes, BOTH, packages)
        for prefix, suffix, packages in (
            ("", "", ()),
            ("pytest_", ", run by pytest-django", PYTEST),
        )
        for function, what, *outcomes in (
            (
                f"{prefix}transaction_test_case",
                f"ask in a `TransactionTestCase`{suffix}",
                f"{PARENTS}, 1 of 1 rows",
                f"{OWN}, 1 of 1 rows",
            ),
            (
                f"{prefix}test_case",
                f"ask in a `TestCase`{suffix}",
                f"{PARENTS}, 1 of 1 rows",
                "ProgrammingError: Cannot open a new connection in an atomic block.",
            ),
        )
    ),
    Case(
        "test_case_with_new_wrapper",
        "ask in a `TestCase` after `del connections[alias]`",
        f"{OWN}, 0 of 1 rows",
        f"{OWN}, 0 of 1 rows",
        BOTH,
    ),
    Case("started", "be started by a test, as in the recipe", FAILS, PASSES, BOTH),
    Case(
        "pytest_forked",
        "be what pytest-forked runs a test in, whose parent has asked",
        "its parent has lost its session",
        "its parent has its session",
        BOTH,
        (*PYTEST, "pytest-forked==1.7.5"),
    ),
]
