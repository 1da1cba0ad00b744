"""Packaging for pip and colcon: packages, data files and extras. The settings of tools are in pyproject.toml."""

from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

NAME = "gym_gazebo2"
# resolve(): colcon build --symlink-install runs a link to this file, in another folder.
HERE = Path(__file__).resolve().parent

# ROS 2 wheels of PyPI exist for these systems only. Elsewhere the extra is empty, and a sourced ROS 2 provides rclpy.
WHEELS = "python_version >= '3.11' and sys_platform == 'linux' and platform_machine == 'x86_64'"
ROS2 = [
    "ros-rclpy[fastrtps]>=9",
    "ros-sensor-msgs>=5",
    "ros-std-srvs>=5",
    "ros-trajectory-msgs>=5",
    "ros-geometry-msgs>=5",
    "ros-rosgraph-msgs>=2",
]
EXTRAS = {
    "mujoco": ["mujoco>=4.0"],
    "train": [
        "mujoco>=4.0",
        "stable-baselines3>=2.9",
        "sb3-contrib>=2.9",
        "torch>=2.3",
        "matplotlib>=3.8",
        "pillow>=10.1",
        "PyYAML>=6",
    ],
    "export": ["onnx>=1.16", "onnxscript>=0.5", "onnxruntime>=1.18"],
    "play": ["mujoco>=4.0", "av>=14", "pillow>=10"],
    "video": ["mujoco>=4.0", "moviepy>=1.0.3"],
    "sweep": ["optuna>=4"],
    "cluster": ["ray>=2.60", "cryptography>=42"],
    "docs": ["mkdocs-material>=9.5", "mkdocstrings[python]>=0.25"],
    "robots": ["robot_descriptions>=1.13"],
    "tensorboard": ["tensorboard>=2.15"],
    "ros2": [f"{name}; {WHEELS}" for name in ROS2],
}
EXTRAS["all"] = sorted({requirement for extra in EXTRAS.values() for requirement in extra})
# For images: KubeRay asks Ray's dashboard for the state of a job. It is not in "all", as it brings 33 packages more.
EXTRAS["kubernetes"] = ["ray[default]>=2.60"]
EXTRAS["dev"] = [
    *EXTRAS["all"],
    "pytest>=8",
    "pytest-xdist>=3.5",
    "hypothesis>=6",
    "mink>=1.3",
    "ruff>=0.6",
    "mypy>=1.10",
    "example-robot-data>=6",
    "psutil>=5.9",
    "selenium>=4.20",
    "transforms3d>=0.4.2",
    "colcon-core>=0.18",
    "colcon-ros>=0.4",
    "colcon-bash>=0.5",
    "kubernetes-validate>=1.34",
]

# Folder → files that are also installed in share/, where `ros2 launch` and RViz look for them.
SHARED = {"urdf": "*.urdf", "launch": "*.*"}
AUTOLOAD = "gym_gazebo2_autoload"


class BuildWithAutoload(build_py):
    """Also copy the .pth file into site-packages, where Python reads it at start: see gym_gazebo2_autoload.py."""

    def run(self) -> None:
        super().run()
        # An editable install has no build folder that ends up in site-packages, so the file is put there directly.
        site = self.get_finalized_command("install").install_lib if self.editable_mode else self.build_lib
        self.copy_file(f"{AUTOLOAD}.pth", site)


setup(
    name=NAME,
    version="0.1.0",
    description="Train robot arms in embedded physics, prove them in Gazebo over ROS 2, run them on the robot",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=">=3.10",
    packages=find_packages(include=[NAME, f"{NAME}.*"]),
    py_modules=[AUTOLOAD],
    cmdclass={"build_py": BuildWithAutoload},
    package_data={
        NAME: ["py.typed", "launch/*"],
        f"{NAME}.algos.report": ["*.css", "*.js"],
        f"{NAME}.urdf": ["*.urdf"],
        f"{NAME}.gazebo": ["*.lock", "plugin/*"],
    },
    install_requires=[
        "gymnasium>=1.2,<2",
        "numpy>=1.26",
        "yourdfpy>=0.0.56",
        "trimesh[easy]>=4.6",
        "xacro>=2.0.8",
        "tyro>=1.0",
        "rich>=13",
    ],
    extras_require=EXTRAS,
    entry_points={
        "console_scripts": ["gym-gazebo2 = gym_gazebo2.cli:main"],
        "gymnasium.envs": ["__root__ = gym_gazebo2.registration:register_envs"],
        "gym.envs": ["__root__ = gym_gazebo2.legacy:register_legacy_envs"],
    },
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        (f"share/{NAME}", ["package.xml"]),
        *(
            (f"share/{NAME}/{folder}", sorted(str(path.relative_to(HERE)) for path in (HERE / folder).glob(pattern)))
            for folder, pattern in SHARED.items()
        ),
    ],
    zip_safe=False,
)
