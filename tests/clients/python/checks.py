"""What the checking scripts for Python share."""

import functools
import sys


def expect(condition, said):
    if not condition:
        raise AssertionError(said)


def named(label, checks, *given):
    """Each check, which is given these arguments, under the name that the report has for it."""
    return [(f"{label}: {check.__name__.replace('_', ' ')}", functools.partial(check, *given)) for check in checks]


def run(checks):
    """Runs named checks, prints one line for each, and exits: with 1 if any failed."""
    failures = 0
    for name, check in checks:
        try:
            check()
            print(f"ok    {name}")
        except Exception as error:  # Every check is reported, whatever it ran into.
            failures += 1
            print(f"FAIL  {name}: {type(error).__name__}: {error}")
    sys.exit(1 if failures else 0)
