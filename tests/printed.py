"""What programs print, for tests that ask for something else than progress."""

import re

_PROGRESS = re.compile(r"step \d+ of \d+: |done in \d+ s: |.* iterations (from \d+ on )?of \d+ images of each of ")


def without_progress(said):
    """Takes the lines out that a run prints where no terminal shows its bar."""
    return "".join(line for line in said.splitlines(keepends=True) if not _PROGRESS.match(line))
