"""The README's example, run as it is."""

import pathlib
import re
import subprocess
import sys

import pytest

README = pathlib.Path(__file__).parent.parent / "README.md"


def test_the_example_runs_and_reports_the_agreement():
    [example] = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    printed = subprocess.run([sys.executable, "-c", example], capture_output=True, text=True, check=True).stdout
    assert 0 <= float(printed.split("agreement")[1]) <= 1
    assert "nan" not in printed


@pytest.mark.parametrize("page", [README, *sorted(README.parent.glob("docs/*.md"))], ids=lambda page: page.stem)
def test_pictures_and_commands_exist(page):
    text = page.read_text(encoding="utf-8")
    for picture in re.findall(r"!\[.*?\]\((.*?)\)", text):
        assert (page.parent / picture).is_file()
    for module in set(re.findall(r"python -m ((?:dg_jax|experiments)\.\w+)", text)):
        path = README.parent / module.replace(".", "/")
        assert path.with_suffix(".py").is_file() or (path / "__main__.py").is_file()
