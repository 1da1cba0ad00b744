"""The recipes of the images, and how the machine's pip configuration gets into a build; `make images` builds and tries them."""

from __future__ import annotations

import configparser
import re
from pathlib import Path

import pytest

from deploy.build_images import IMAGES, PIP, write_pip_config
from deploy.try_job import shorten

from .conftest import ROOT

RECIPES = sorted((ROOT / "deploy").glob("Containerfile.*"))
ENTRYPOINTS = sorted((ROOT / "deploy").glob("kubernetes/overlays/*/job/training.yaml"))


def read_config(folder: Path) -> configparser.SectionProxy:
    parser = configparser.RawConfigParser()
    parser.read(folder / "pip.conf")
    return parser["global"]


def test_there_is_a_recipe_for_every_image() -> None:
    assert {path.suffix[1:] for path in RECIPES} == set(IMAGES) == {"embedded", "gazebo"}


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.suffix[1:])
def test_an_image_is_pinned_and_unprivileged(recipe: Path) -> None:
    text = recipe.read_text()
    assert re.findall(r"^USER (.*)", text, flags=re.MULTILINE)[-1] == "1000:1000"
    assert re.search(r"^ARG BASE_IMAGE=\S+\nFROM \$\{BASE_IMAGE\}", text, flags=re.MULTILINE)
    installs = re.findall(r"pip install (.*?)(?= \\?\n &&)", text, flags=re.DOTALL)
    assert installs and all("-c /src/constraints.txt" in install for install in installs)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.suffix[1:])
def test_every_folder_that_a_recipe_copies_exists(recipe: Path) -> None:
    for line in re.findall(r"^COPY ((?:.*\\\n)*.*)$", recipe.read_text(), flags=re.MULTILINE):
        *sources, _ = line.replace("\\\n", " ").split()
        assert [source for source in sources if not (ROOT / source).exists()] == []


def test_a_pip_configuration_moves_into_the_build(tmp_path: Path) -> None:
    here, build = tmp_path / "here", tmp_path / "build"
    for folder in (here / "wheels", here / "index" / "simple", here / "more" / "simple", build):
        folder.mkdir(parents=True)
    (here / "ca.crt").write_text("certificate")
    values = {
        "cert": str(here / "ca.crt"),
        "find-links": str(here / "wheels"),
        "index-url": "https://registry.example.com/simple",
        "extra-index-url": f"file://{here}/index/simple file://{here}/more/simple",
    }
    mounts = dict(write_pip_config(values, build))
    config = read_config(build)
    assert config["index-url"] == values["index-url"]
    assert (build / Path(config["cert"]).relative_to(PIP)).read_text() == "certificate"
    assert config["find-links"] == mounts[here / "wheels"]
    assert config["extra-index-url"].split() == [f"file://{mounts[here / name]}/simple" for name in ("index", "more")]
    assert set(mounts) == {here / "wheels", here / "index", here / "more"} and len(set(mounts.values())) == 3


def test_a_path_that_does_not_exist_stays(tmp_path: Path) -> None:
    assert write_pip_config({"find-links": "/no/such/folder"}, tmp_path) == []
    assert read_config(tmp_path)["find-links"] == "/no/such/folder"


@pytest.mark.parametrize("path", ENTRYPOINTS, ids=lambda path: path.parent.parent.name)
def test_the_trial_of_a_job_is_short(path: Path) -> None:
    command = shorten(path.read_text(), "/tmp/here")
    assert "--workers 2 " in command and "--steps 1000000" not in command and "/runs/" not in command
