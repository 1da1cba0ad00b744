"""The code blocks of the README and the documents run; their links, commands and options exist."""

import importlib
import re
import shlex
import subprocess
import sys

import pytest

from gym_gazebo2.cli import load_command, split_command

from .conftest import ROOT

DOCUMENTS = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")])
MAKEFILE = (ROOT / "Makefile").read_text()


def get_blocks(path, language):
    return re.findall(rf"^ *```{language}\n(.*?)^ *```", path.read_text(), flags=re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("path", [p for p in DOCUMENTS if get_blocks(p, "python")], ids=lambda p: p.name)
def test_python_blocks_run_one_after_the_other(path, tmp_path):
    code = "\n".join(get_blocks(path, "python"))
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: p.name)
def test_links_and_commands_exist(path):
    text = path.read_text()
    for target in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (path.parent / target).exists(), target
    for target in re.findall(r"\bmake ([a-z-]+)\b", "\n".join(get_blocks(path, "(?:bash|sh)"))):
        assert re.search(rf"^{target}:", MAKEFILE, flags=re.MULTILINE), target
    for module in re.findall(r"python -m (benchmarks\.\w+)", text):
        assert (ROOT / (module.replace(".", "/") + ".py")).is_file(), module


def find_anchors(path):
    """Return the anchors of a document's headings, as GitHub and MkDocs make them."""
    headings = re.findall(r"^#+ (.*)$", path.read_text(), flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: p.name)
def test_anchors_exist(path):
    for target, anchor in re.findall(r"\]\(([\w./-]*\.md)?#([\w-]+)\)", path.read_text()):
        assert anchor in find_anchors(path.parent / target if target else path), f"{target}#{anchor}"


COMMANDS = [
    (path, line.split(" #")[0])
    for path in DOCUMENTS
    for line in map(str.strip, "\n".join(get_blocks(path, "bash")).splitlines())
    if re.match(r"gym-gazebo2 (?!install|doctor)\w", line)
]


@pytest.mark.parametrize(("path", "line"), COMMANDS, ids=lambda x: getattr(x, "stem", None))
def test_commands_take_the_options_that_are_shown(path, line, tmp_path):
    (tmp_path / "config.json").write_text("{}")
    for example in ("hold:MARAHold-v0", "my_arm:TwoLink-v0", "push:Push-v0"):  # modules of the reader, and a run of the reader
        line = line.replace(example, "MARA-v0")
    line = line.replace("runs/mine/config.json", str(tmp_path / "config.json"))
    name, words = split_command(shlex.split(line)[1:])
    assert load_command(name).parse(words, name)


@pytest.mark.parametrize("name", ["runs.md", "api.md"])
def test_functions_that_are_named_can_be_called(name):
    text = (ROOT / "docs" / name).read_text()
    found = set(re.findall(r"(?:`|^::: )(gym_gazebo2(?:\.\w+)+)", text, flags=re.MULTILINE)) - {"gym_gazebo2.errors"}
    assert found
    for path in found:
        module, _, attribute = path.rpartition(".")
        assert callable(getattr(importlib.import_module(module), attribute)), path


def test_the_site_is_built_without_a_warning(tmp_path):
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    page = (tmp_path / "site" / "api.html").read_text()
    assert "control_dt" in page and "Raises" in page


def test_every_id_is_described():
    from gym_gazebo2 import ENVIRONMENTS
    from gym_gazebo2.robots import ROBOTS, is_built_in

    table = (ROOT / "docs" / "environments.md").read_text()
    # Other tests of this process may have registered ids of their own, with robots of their own.
    own = [env_id for env_id, row in ENVIRONMENTS.items() if is_built_in(ROBOTS[row.robot])]
    assert own and [env_id for env_id in own if f"| `{env_id}` |" not in table] == []


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 120


def test_every_dependency_has_its_reason():
    setup = (ROOT / "setup.py").read_text()
    names = {
        re.split(r"[><=\[]", requirement)[0] for requirement in re.findall(r'"([a-z0-9-]+(?:\[\w+\])?[><=]+[^"]*)"', setup)
    } - {"python"}
    contributing = (ROOT / "CONTRIBUTING.md").read_text()
    assert {name for name in names if f"`{name}`" not in contributing} == set()


def test_the_paper_s_words_are_those_of_the_errors():
    from gym_gazebo2.algos.settings.paper_names import PAPER_NAMES, explain_paper_name

    section = (
        (ROOT / "docs" / "distributed.md").read_text().partition("## The words of the 2019 paper")[2].partition("\n## ")[0]
    )
    rows = {name: here for name, here in re.findall(r"^\| `(\w+)` \| .* \| (.*) \|$", section, flags=re.MULTILINE)}
    assert rows.keys() == PAPER_NAMES.keys()
    for name, option in PAPER_NAMES.items():
        assert f"`{option.split()[-1]}`" in rows[name], name
        assert option.split()[-1] in explain_paper_name(name)
