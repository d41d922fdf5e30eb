"""What the README shows runs: its Python blocks, and the network that they save, in another process."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCKS = [
    pytest.param(block, id=f"{page.stem}-{number}")
    for page in PAGES
    for number, block in enumerate(re.findall(r"^```python\n(.*?)^```", page.read_text("utf-8"), re.M | re.S), 1)
]


def run(program, folder):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-c", program], cwd=folder, env=environment, capture_output=True, text=True, timeout=300
    )


@pytest.mark.parametrize("block", BLOCKS)
def test_a_python_block_runs_and_prints_what_its_comments_say(block, tmp_path):
    done = run(block, tmp_path)
    assert done.returncode == 0, done.stderr
    expected = re.findall(r"^print\(.*\)  # (.+)$", block, re.M)
    assert done.stdout.splitlines() == expected
    if "network.keras" in block:
        again = run("import keras, fer_lib.models; print(keras.models.load_model('network.keras').name)", tmp_path)
        assert again.returncode == 0, again.stderr


def test_links_to_files_lead_somewhere():
    for page in [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "MODEL_CARD.md"]:
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text("utf-8")):
            assert "://" in target or (page.parent / target).exists(), f"{page.name}: {target}"
