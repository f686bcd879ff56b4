"""Finds names as people write them: in any case, with ``-``, ``_``, a space or nothing between words."""

import difflib
from collections.abc import Iterable

from dg_jax import errors


def plain(name: str) -> str:
    """Returns a name in lower case, with only its letters and digits.

    Example:
        >>> plain("Agr-Sum"), plain("agr_sum"), plain("AgrSum")
        ('agrsum', 'agrsum', 'agrsum')
    """
    return "".join(letter for letter in name.casefold() if letter.isalnum())


def find(name: str, known: Iterable[str]) -> str | None:
    """Returns the known name that is meant; ``None`` if there is none, or more than one."""
    known = list(known)
    if name in known:
        return name
    meant = [one for one in known if plain(one) == plain(name) != ""]
    return meant[0] if len(meant) == 1 else None


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Returns the known name that is most like ``name``, or ``None`` if none is close.

    Example:
        >>> nearest("arg-sum", ["deep_all", "agr_sum"])
        'agr_sum'
    """
    by_plain = {plain(one): one for one in known if plain(one)}
    found = difflib.get_close_matches(plain(name), by_plain, n=1)
    return by_plain[found[0]] if found else None


def unknown(what: str, name: str, known: Iterable[str]) -> errors.UserError:
    """Returns the error for a name that is not among the known ones; it names the nearest."""
    known = list(known)
    closest = nearest(name, known)
    meant = f"; did you mean {closest}?" if closest else ""
    return errors.UserError(f"unknown {what} {name!r}; there are: {', '.join(known)}{meant}")
