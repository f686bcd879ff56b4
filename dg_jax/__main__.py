"""``python -m dg_jax`` is ``python -m dg_jax.run``."""

import sys

from dg_jax import run

if __name__ == "__main__":
    sys.exit(run.main())
