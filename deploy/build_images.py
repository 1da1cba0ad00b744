"""Build the images of ``deploy/Containerfile.*`` with buildah, without a daemon, and try them as an unprivileged user.

    python deploy/build_images.py                         # base image from a registry
    python deploy/build_images.py --bootstrap --host-pip  # base from Debian's mirror, packages as pip is configured here

It needs root and Debian's packages buildah and, for --bootstrap, debootstrap.
"""

from __future__ import annotations

import argparse
import configparser
import dataclasses
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

Result = TypeVar("Result")
ROOT = Path(__file__).resolve().parent.parent
PIP = "/run/pip"
"""Where the recipes look for a pip configuration while they are built."""
MOUNT = "/deploy"
"""Where a trial finds this folder."""
RELEASE = "bookworm"
DEBIAN = "http://deb.debian.org/debian"
BUILD_TIMEOUT_S, TRY_TIMEOUT_S = 3600.0, 900.0


@dataclasses.dataclass(frozen=True)
class Image:
    """An image.

    Attributes:
        name: Its tag.
        base: Value of BASE_IMAGE; empty: the recipe's own.
        trial: Shell command that must succeed in it as user 1000.
    """

    name: str
    base: str
    trial: str


TRAIN = "gym-gazebo2 train --env MARA-v0 --workers 2 --worker-cpus 0.5 --num-envs 8 --hyper n_steps=64 --steps 1024"
STEP = """python3 -c 'import gymnasium as gym
env = gym.make("MARA-v0", backend="gazebo")
env.reset(seed=0)
time = env.step(env.action_space.sample())[4]["time"]
env.close()
assert time == 0.05, time
print("Gazebo stepped one control period:", time, "s")'"""
JOB = f"python3 {MOUNT}/try_job.py {MOUNT}/kubernetes/overlays/{{}}/job/training.yaml"
# In a pod the cache cannot be written to: the plug-in must be found, not built again.
CLOSE = "chmod -R a-w /opt/cache"
IMAGES = {
    "embedded": Image(
        "gym-gazebo2:embedded", "", f"{TRAIN} --out /tmp/run && test -s /tmp/run/model.zip && {JOB.format('embedded')}"
    ),
    "gazebo": Image("gym-gazebo2:gazebo", "localhost/gym-gazebo2:embedded", f"{CLOSE} && {STEP} && {JOB.format('gazebo')}"),
}


def main() -> None:
    """Build the images, try them, and print times and sizes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bootstrap", action="store_true", help="make the base image by debootstrap, without a registry")
    parser.add_argument("--mirror", default=DEBIAN, help="Debian mirror for --bootstrap and for Gazebo")
    parser.add_argument("--host-pip", action="store_true", help="use this machine's pip configuration, also for torch")
    parser.add_argument("--storage", type=Path, help="folder for images; default: buildah's own")
    parser.add_argument("--only", choices=list(IMAGES), action="append", help="build this image; may be repeated")
    options = parser.parse_args()
    buildah = ["buildah", "--storage-driver", "vfs", *(["--root", str(options.storage)] if options.storage else [])]
    base = timed("base image", partial(bootstrap, buildah, options.mirror)) if options.bootstrap else ""
    for key in options.only or IMAGES:
        timed(f"build {key}", partial(build, buildah, key, base, options.mirror, options.host_pip))
        timed(f"try {key}", partial(try_image, buildah, IMAGES[key]))
    run([*buildah, "images", "--format", "{{.Name}}:{{.Tag}} {{.Size}}"], BUILD_TIMEOUT_S)


def timed(what: str, action: Callable[[], Result]) -> Result:
    """Run an action, print how long it took, and return its result."""
    start = time.monotonic()
    result = action()
    print(f"== {what}: {time.monotonic() - start:.0f} s", flush=True)
    return result


def run(command: Sequence[str], timeout_s: float) -> None:
    """Run a command; end this program with its status if it fails."""
    try:
        done = subprocess.run(command, timeout=timeout_s, check=False)
    except FileNotFoundError:
        sys.exit(f"{command[0]} is not installed. Install it with: apt-get install buildah debootstrap")
    except subprocess.TimeoutExpired:
        sys.exit(f"No end within {timeout_s:g} s: {' '.join(command)}")
    if done.returncode:
        sys.exit(f"Failed with status {done.returncode}: {' '.join(command)}")


def bootstrap(buildah: Sequence[str], mirror: str) -> str:
    """Make an image of Debian's minimal root file system, and return its name."""
    name = f"localhost/debian:{RELEASE}-slim"
    with tempfile.TemporaryDirectory(prefix="gym-gazebo2-base-") as folder:
        run(["debootstrap", "--variant=minbase", RELEASE, folder, mirror], BUILD_TIMEOUT_S)
        for cache in ("var/cache/apt/archives", "var/lib/apt/lists"):
            shutil.rmtree(Path(folder, cache))
        recipe = Path(folder, "Containerfile")
        recipe.write_text("FROM scratch\nCOPY . /\nRUN rm /Containerfile\n")
        run([*buildah, "bud", "--isolation", "chroot", "-t", name, "-f", str(recipe), folder], BUILD_TIMEOUT_S)
    return name


def build(buildah: Sequence[str], key: str, base: str, mirror: str, host_pip: bool) -> None:
    """Build one image.

    Args:
        buildah: Beginning of a buildah command.
        key: Row of IMAGES.
        base: Base image in place of the recipe's own; empty: the recipe's.
        mirror: Debian mirror.
        host_pip: Use the pip configuration of this machine.
    """
    image = IMAGES[key]
    base = image.base or base
    options = ["--build-arg", f"BASE_IMAGE={base}"] if base else []
    options += ["--build-arg", f"DEBIAN_MIRROR={mirror}"] if key == "gazebo" else []
    with tempfile.TemporaryDirectory(prefix="gym-gazebo2-pip-") as folder:
        if host_pip:
            options += ["--build-arg", "TORCH_INDEX="] if key == "embedded" else []
            options += ["--volume", f"{folder}:{PIP}:ro"]
            for source, target in write_pip_config(read_pip_config(), Path(folder)):
                options += ["--volume", f"{source}:{target}:ro"]
        recipe = str(ROOT / f"deploy/Containerfile.{key}")
        run([*buildah, "bud", "--isolation", "chroot", *options, "-t", image.name, "-f", recipe, str(ROOT)], BUILD_TIMEOUT_S)


def try_image(buildah: Sequence[str], image: Image) -> None:
    """Run an image's trial as user 1000, as Kubernetes does, in a network of its own: buildah would use the machine's."""
    answer = subprocess.run([*buildah, "from", f"localhost/{image.name}"], capture_output=True, text=True, check=True)
    container = answer.stdout.split()[-1]
    try:
        command = f"test $(id -u) = 1000 && {image.trial}"
        options = ["--isolation", "chroot", "--user", "1000:1000", "--volume", f"{ROOT / 'deploy'}:{MOUNT}:ro"]
        inside = [*buildah, "run", *options, container, "--", "bash", "-c", command]
        run(["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh", *inside], TRY_TIMEOUT_S)
    finally:
        subprocess.run([*buildah, "rm", container], capture_output=True, check=False)


def read_pip_config() -> dict[str, str]:
    """Return this machine's pip configuration, option to value; environment variables win over files."""
    command = [sys.executable, "-m", "pip", "config", "list"]
    answer = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rows = [line.partition("=") for line in answer.splitlines() if "=" in line]
    values = {name: value.strip("'").replace("\\n", " ") for name, _, value in rows}
    order = ("global.", "install.", ":env:.")
    return {name.removeprefix(start): value for start in order for name, value in values.items() if name.startswith(start)}


def write_pip_config(values: dict[str, str], folder: Path) -> list[tuple[Path, str]]:
    """Write a pip configuration for a build, and return the folders to mount: here, and there.

    A file that an option names is copied into the folder of the configuration. A folder that an option names is mounted.

    Args:
        values: Options of pip.
        folder: Folder that the build will see as ``PIP``.
    """
    mounts: list[tuple[Path, str]] = []
    lines = {name: " ".join(_move(word, folder, mounts) for word in value.split()) for name, value in values.items()}
    parser = configparser.RawConfigParser()
    parser["global"] = lines
    with (folder / "pip.conf").open("w") as file:
        parser.write(file)
    return mounts


def _move(word: str, folder: Path, mounts: list[tuple[Path, str]]) -> str:
    """Return a word of an option as the build must read it."""
    path = Path(word.removeprefix("file://"))
    if not path.is_absolute() or not path.exists():
        return word
    if path.is_file():
        target = folder / f"{len(list(folder.iterdir()))}-{path.name}"
        shutil.copyfile(path, target)
        return f"{PIP}/{target.name}"
    # A folder that serves as an index refers to files beside it, such as ../../files: mount the folder above it.
    is_index = word.startswith("file://")
    source = path.parent if is_index else path
    target_name = next((there for here, there in mounts if here == source), f"{PIP}-{len(mounts)}")
    if (source, target_name) not in mounts:
        mounts.append((source, target_name))
    return f"file://{target_name}/{path.name}" if is_index else target_name


if __name__ == "__main__":
    main()
