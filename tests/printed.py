"""What programs print, for tests that do not look at progress."""

import re

_PROGRESS = re.compile(
    r"step \d+ of \d+: |done in \d+ s: |.* iterations (from \d+ on )?of \d+ images of each of "
    r"|(runs( \(\d+ were there\))?|steps|preparing \w+): \d+ of \d+"
)


def without_progress(said):
    """Removes the progress lines that a program prints when there is no terminal to show a bar."""
    return "".join(line for line in said.splitlines(keepends=True) if not _PROGRESS.match(line))
