"""Combiners against TorchJD's aggregators with the same formula, in float64 on several kinds of matrices."""

import jax
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: pip install 'dg_jax[benchmark]'")
aggregation = pytest.importorskip("torchjd.aggregation", reason="torchjd is not installed: 'dg_jax[benchmark]'")

from dg_jax import surgery  # noqa: E402
from tests.surgery import reference  # noqa: E402
from tests.surgery.test_matrices import INDEPENDENT, KINDS  # noqa: E402

# Combiner, aggregator for N rows, tolerance relative to the largest entry of the matrix. TorchJD adds 1e-4 of the trace
# to the Gramians of UPGrad and DualProj, and its solver of CAGrad stops at 1e-4; the others have the same formula.
PAIRS = {
    "deep_all": (surgery.deep_all(), lambda n: aggregation.Mean(), 1e-9),
    "sum": (surgery.sum(), lambda n: aggregation.Sum(), 1e-9),
    "upgrad": (surgery.upgrad(), lambda n: aggregation.UPGrad(), 2e-2),
    "dualproj": (surgery.dualproj(), lambda n: aggregation.DualProj(), 2e-2),
    "cagrad": (surgery.cagrad(0.5), lambda n: aggregation.CAGrad(c=0.5), 1e-3),
    "imtl_g": (surgery.imtl_g(), lambda n: aggregation.IMTLG(), 1e-6),
    "conflict_free": (surgery.conflict_free(), lambda n: aggregation.ConFIG(), 1e-6),
    "aligned_mtl": (surgery.aligned_mtl(), lambda n: aggregation.AlignedMTL(), 1e-6),
    "trimmed_mean": (surgery.trimmed_mean(1), lambda n: aggregation.TrimmedMean(trim_number=1), 1e-9),
}


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("kind", INDEPENDENT)
def test_the_same_as_torchjd(name, kind):
    combiner, aggregator, tolerance = PAIRS[name]
    for n, m in ((3, 5), (9, 11)):
        rows = KINDS[kind](5, n, m)
        if name == "trimmed_mean" and len(rows) < 3:
            continue
        with reference.enable_x64(True):
            found = np.asarray(jax.jit(combiner.update)(rows, combiner.init(None))[0])
        expected = aggregator(len(rows))(torch.from_numpy(rows)).numpy()
        np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * np.abs(rows).max())
