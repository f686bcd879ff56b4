import subprocess
import sys

import pytest


@pytest.mark.parametrize(("package", "module"), [("scipy", "table"), ("matplotlib", "result_figures")])
def test_what_is_not_installed_is_a_user_error(package, module):
    program = f"import sys; sys.modules['{package}'] = None; import dg_jax.analysis.{module}"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    last = done.stderr.splitlines()[-1]
    assert last.startswith("dg_jax.errors.UserError: ")
    assert last.endswith(f'need {package}; run: pip install -e ".[analysis]"')
