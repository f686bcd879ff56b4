"""Mean cosine similarity of gradients within and between domains (paper, section 4.3)."""

from typing import NamedTuple

import numpy as np


class Similarity(NamedTuple):
    """Mean cosines of pairs of gradients, NaN where there is no pair.

    Attributes:
        domains: float64 ``[N, N]``: entry (k, l) is over all pairs of a sample of domain k
            and one of domain l. On the diagonal no sample is paired with itself.
        intra: over all pairs of samples of the same domain.
        inter: over all pairs of samples of different domains.
    """

    domains: np.ndarray
    intra: float
    inter: float


def mean_cosines(gram: np.ndarray, domain: np.ndarray) -> Similarity:
    """Averages the cosines of all pairs of gradients by the domains that they belong to.

    A zero gradient has no direction, and its pairs are left out. A gradient that is not finite makes the means NaN.

    Args:
        gram: inner products of the gradients of M samples, ``[M, M]``.
        domain: the domain of each sample, integers ``[M]`` in ``[0, N)``.

    Returns:
        A :class:`Similarity`. The means are over pairs: where domains have different
        numbers of samples, a domain with more of them counts for more in ``intra``.

    Example:
        >>> import numpy as np
        >>> gradients = np.array([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0], [0.0, 3.0]])
        >>> result = mean_cosines(gradients @ gradients.T, np.array([0, 0, 1, 1]))
        >>> print(result.intra, result.inter)
        1.0 0.0

    Reference:
        Mansilla et al., "Domain Generalization via Gradient Surgery", ICCV 2021,
        section 4.3.
    """
    gram = np.asarray(gram, np.float64)
    norm = np.sqrt(np.diag(gram))
    is_pair = np.outer(norm != 0, norm != 0) & ~np.eye(len(norm), dtype=bool)
    with np.errstate(invalid="ignore"):
        cosine = np.divide(gram, np.outer(norm, norm), out=np.zeros_like(gram), where=is_pair)
    member = (np.arange(domain.max() + 1)[:, None] == domain).astype(np.float64)
    sums = member @ cosine @ member.T
    counts = member @ is_pair @ member.T
    within = np.eye(len(member), dtype=bool)

    def mean(chosen: np.ndarray) -> float:
        return float(sums[chosen].sum() / counts[chosen].sum()) if counts[chosen].any() else float("nan")

    by_domain = np.divide(sums, counts, out=np.full_like(sums, np.nan), where=counts > 0)
    return Similarity(by_domain, mean(within), mean(~within))
