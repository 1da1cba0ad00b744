"""The Python types of ros_gz_interfaces/ControlWorld: the installed ones, or made of the definitions by rosidl and a compiler.

ros_gz is on no package registry; the three definitions are those of its repository (Apache-2.0), fields only.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import numpy as np
import pytest

PACKAGE = "ros_gz_interfaces"
DEFINITIONS = {
    "msg/WorldReset.msg": "bool all false\nbool time_only false\nbool model_only false\n",
    "msg/WorldControl.msg": (
        "bool pause\nbool step\nuint32 multi_step 0\nros_gz_interfaces/WorldReset reset\nuint32 seed\n"
        "builtin_interfaces/Time run_to_sim_time\n"
    ),
    "srv/ControlWorld.srv": "ros_gz_interfaces/WorldControl world_control\n---\nbool success\n",
}
DEPENDENCIES = ("builtin_interfaces", "service_msgs")
PARTS = ("generator_py", "generator_c", "typesupport_fastrtps_c", "typesupport_c")
LIBRARIES = [
    *(f"{package}__rosidl_{part}" for package in DEPENDENCIES for part in PARTS),
    *("rosidl_typesupport_fastrtps_c", "rosidl_typesupport_fastrtps_cpp", "rosidl_typesupport_c", "rosidl_runtime_c"),
    *("rcutils", "rmw", "fastcdr"),
]


def provide(folder: Path) -> None:
    """Make ``import ros_gz_interfaces`` work in this process, with what is built under the folder where it is not installed."""
    if importlib.util.find_spec(PACKAGE) is None:
        if not (Path(sysconfig.get_path("include")) / "Python.h").is_file():
            pytest.skip("Python's headers are not installed (on Debian and Ubuntu: python3-dev)")
        environment = {**os.environ, "AMENT_PREFIX_PATH": sys.prefix}
        command = [sys.executable, __file__, str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, env=environment)
        if done.returncode:
            raise RuntimeError(f"rosidl cannot make {PACKAGE}: {done.stdout[-2000:]} {done.stderr[-4000:]}")
        sys.path.insert(0, str(folder))
        importlib.invalidate_caches()


def build(folder: Path) -> None:
    generate(folder)
    compile_sources(folder)
    (folder / PACKAGE / "__init__.py").touch()


def generate(folder: Path) -> None:
    """Write the sources, as rosidl_generate_interfaces of CMake does."""
    from rosidl_cli.command.translate.api import translate
    from rosidl_generator_c.cli import GenerateC
    from rosidl_generator_py.cli import GeneratePython
    from rosidl_generator_type_description.cli import HashTypeDescription
    from rosidl_typesupport_c.cli import GenerateCTypesupport
    from rosidl_typesupport_fastrtps_c.cli import GenerateFastRTPSCTypesupport

    definitions, out = folder / "definitions", folder / PACKAGE
    for name, text in DEFINITIONS.items():
        (definitions / name).parent.mkdir(parents=True, exist_ok=True)
        (definitions / name).write_text(text)
    share = [str(Path(sys.prefix) / "share")]
    files = translate(
        package_name=PACKAGE,
        interface_files=[f"{definitions}:{name}" for name in DEFINITIONS],
        include_paths=share,
        output_format="idl",
        output_path=out,
    )
    paths = [*share, str(folder)]
    GenerateC("c").generate(
        PACKAGE, files, paths, out, HashTypeDescription("hash").generate_type_hashes(PACKAGE, files, paths, out)
    )
    for generator in (
        GenerateCTypesupport("c", typesupport_implementations=["rosidl_typesupport_fastrtps_c"]),
        GenerateFastRTPSCTypesupport("fastrtps_c"),
        GeneratePython("py", typesupport_implementations=["rosidl_typesupport_c"]),
    ):
        generator.generate(PACKAGE, files, paths, out)


def compile_sources(folder: Path) -> None:
    """Link everything into the one module that Python imports."""
    out, prefix = folder / PACKAGE, Path(sys.prefix)
    headers = [
        folder,
        out,
        prefix / "include",
        *(prefix / "include").iterdir(),
        Path(sysconfig.get_path("include")),
        np.get_include(),
    ]
    include = [f"-I{path}" for path in headers]
    objects = []
    for source in sorted([*out.rglob("*.c"), *out.rglob("*.cpp")]):
        objects.append(str(source.with_suffix(source.suffix + ".o")))
        compiler = ["g++", "-std=c++17"] if source.suffix == ".cpp" else ["gcc", "-std=gnu11"]
        subprocess.run([*compiler, "-w", "-fPIC", *include, "-c", str(source), "-o", objects[-1]], check=True, timeout=300)
    module = out / f"{PACKAGE}_s__rosidl_typesupport_c{sysconfig.get_config_var('EXT_SUFFIX')}"
    library = prefix / "lib"
    flags = [f"-L{library}", f"-Wl,-rpath,{library}", *(f"-l{name}" for name in LIBRARIES)]
    subprocess.run(["g++", "-shared", "-o", str(module), *objects, *flags], check=True, timeout=300)


if __name__ == "__main__":
    build(Path(sys.argv[1]).resolve())
