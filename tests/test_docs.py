"""The examples of the documentation, run as they are."""

import os
import pathlib
import re
import subprocess
import sys

import pytest

from dg_jax import surgery

DOCS = pathlib.Path(__file__).parent.parent / "docs"
WITHOUT_EXAMPLES = (
    *("README", "index", "training", "paper", "results", "does-it-work", "domainbed", "performance", "which-combiner"),
    "faq",
    *("contributing", "changelog", "reliability", "benchmarks"),  # their text is in other files
)


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=lambda page: page.stem)
def test_the_examples_of_a_page_run_one_after_the_other(page, emoji_dir, tmp_path):
    examples = re.findall(r"```(?:python|\{code-cell\})\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    if not examples:
        assert page.stem in WITHOUT_EXAMPLES
        return
    places = {"PYTHONPATH": str(DOCS.parent), "TFDS_DATA_DIR": str(emoji_dir)}
    if page.name == "devices.md":
        places["XLA_FLAGS"] = "--xla_force_host_platform_device_count=8"
    script = [sys.executable, "-c", "\n".join(examples)]
    done = subprocess.run(script, capture_output=True, text=True, cwd=tmp_path, env=os.environ | places)
    assert done.returncode == 0, done.stderr


def test_the_reference_has_every_name_of_the_library():
    text = (DOCS / "reference" / "surgery.md").read_text()
    named = re.findall(r"^\.\. auto(?:function|class):: (\w+)$", text, re.MULTILINE)
    missing = set(surgery.__all__) - set(named)
    assert all(name.endswith("State") or name == "Form" for name in missing), missing
    assert len(named) == len(set(named))


def test_links_between_pages_lead_somewhere():
    for page in DOCS.glob("*.md"):
        for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            assert (DOCS / link).exists(), f"{page.name}: {link}"
