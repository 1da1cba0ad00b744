"""The package as users get it: import, public names, wheel."""

import importlib
import pkgutil
import subprocess
import sys
import zipfile

import gymnasium
import pytest

import gym_gazebo2
from gym_gazebo2 import EnvRow
from gym_gazebo2.checks import add_row
from gym_gazebo2.errors import InvalidArgumentError

from .conftest import ROOT


def run_python(code, cwd=None):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_import_brings_no_engine_no_ros_no_learning_library():
    loaded = run_python("import gym_gazebo2, sys; print(' '.join(sys.modules))").split()
    heavy = {"mujoco", "rclpy", "torch", "stable_baselines3", "yourdfpy", "matplotlib", "tyro"}
    assert not heavy & {name.split(".")[0] for name in loaded}


@pytest.mark.parametrize("package", ["torch", "stable_baselines3"])
def test_learning_without_its_packages_names_the_one_that_is_missing(package):
    code = f"import sys; sys.modules[{package!r}] = None\ntry: import gym_gazebo2.algos\nexcept ImportError as e: print(e)"
    assert run_python(code).strip() == (
        f"The package {package!r} is not installed. Install it with: pip install 'gym_gazebo2[train]'"
    )


@pytest.mark.parametrize("env_id", ["MARA-v0", "gym_gazebo2:MARA-v0"])
def test_importing_gymnasium_alone_is_enough(env_id):
    code = f"import gymnasium; env = gymnasium.make({env_id!r}); env.reset(seed=0); print(env.spec.id)"
    assert run_python(code).strip() == "MARA-v0"


def test_a_program_without_gymnasium_imports_nothing_of_this_package():
    loaded = run_python("import sys; print(' '.join(sys.modules))").split()
    assert "gym_gazebo2_autoload" in loaded and not {"gym_gazebo2", "gymnasium", "numpy"} & set(loaded)


def test_the_registration_can_be_switched_off(monkeypatch):
    monkeypatch.setenv("GYM_GAZEBO2_AUTOLOAD", "0")
    check = "print('MARA-v0' in gymnasium.registry)"
    code = f"import gymnasium; {check}; import gym_gazebo2; {check}"
    assert run_python(code).split() == ["False", "True"]


def test_sb3s_own_worker_processes_know_the_ids():
    from stable_baselines3.common.env_util import make_vec_env
    from stable_baselines3.common.vec_env import SubprocVecEnv

    env = make_vec_env("SCARA-v0", 2, vec_env_cls=SubprocVecEnv, env_kwargs={"backend": "fake"})
    assert env.reset().shape == (2, 9)
    env.close()


def test_a_broken_installation_does_not_break_gymnasium(tmp_path):
    broken = "raise ImportError('half an installation')"
    (tmp_path / "gym_gazebo2.py").write_text(broken)
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import gymnasium; print('CartPole-v1' in gymnasium.registry)"
    assert run_python(code).strip() == "True"


def test_the_entry_point_registers_the_ids():
    from importlib import metadata

    [point] = [p for p in metadata.entry_points(group="gymnasium.envs") if p.value.startswith("gym_gazebo2")]
    assert point.load() is gym_gazebo2.register_envs


def list_modules():
    return sorted(m.name for m in pkgutil.walk_packages(gym_gazebo2.__path__, "gym_gazebo2."))


def test_modules_behind_the_symbolic_links_are_listed():
    expected = ("core", "algos.train", "algos.runs.folder", "gazebo.server")
    assert {f"gym_gazebo2.{name}" for name in expected} <= set(list_modules())


@pytest.mark.parametrize("name", list_modules())
def test_every_public_name_exists(name):
    """Every module lists its public names; packages that only group modules, and programs, have none."""
    module = importlib.import_module(name)
    names = getattr(module, "__all__", None)
    assert names is not None or hasattr(module, "__path__") or name.endswith(".__main__"), "no __all__"
    for public in names or ():
        assert getattr(module, public, None) is not None, public


def test_names_at_the_top():
    for public in gym_gazebo2.__all__:
        assert getattr(gym_gazebo2, public) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = gym_gazebo2.nothing


def test_errors_survive_pickle():
    import pickle

    from gym_gazebo2 import errors

    made = [errors.InvalidArgumentError("n", -1, "more"), errors.UnknownNameError("robot", "mra", ["mara"])]
    made += [errors.InvalidArgumentError("normalize_reward", True, sentence="normalize_reward=True needs normalize=True.")]
    made += [errors.MissingDependencyError("mujoco", "mujoco"), errors.BackendError("dead"), errors.RunError("gone")]
    for error in made:
        copied = pickle.loads(pickle.dumps(error))
        assert str(copied) == str(error) and vars(copied) == vars(error)
        assert isinstance(error, errors.GymGazebo2Error)
        assert isinstance(error, ValueError | RuntimeError | ImportError)


def test_an_error_of_an_argument_is_a_noun_phrase_or_a_free_sentence():
    from gym_gazebo2.errors import InvalidArgumentError

    assert str(InvalidArgumentError("n", -1, "at least 1")) == "n is -1, expected at least 1."
    error = InvalidArgumentError("n", -1, sentence="Cannot make -1 arms.")
    assert str(error) == "Cannot make -1 arms." and (error.name, error.actual, error.expected) == ("n", -1, "")


def test_wheel_holds_every_room(tmp_path):
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        str(tmp_path),
        str(ROOT),
    ]
    subprocess.run(command, check=True, timeout=300)
    [wheel] = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    for name in (
        "urdf/mara.urdf",
        "algos/train.py",
        "backends/mujoco/scene.py",
        "py.typed",
        "tasks/reach.py",
        "launch/sim.launch.py",
    ):
        assert f"gym_gazebo2/{name}" in names
    assert {"gym_gazebo2_autoload.py", "gym_gazebo2_autoload.pth"} <= names
    unpacked = tmp_path / "unpacked"
    zipfile.ZipFile(wheel).extractall(unpacked)
    code = f"import sys; sys.path.insert(0, {str(unpacked)!r}); import gym_gazebo2; print(gym_gazebo2.make_robot('mara').urdf)"
    assert run_python(code, cwd=tmp_path).strip().startswith(str(unpacked))


TABLES = {
    "robot": (
        gym_gazebo2.register_robot,
        gym_gazebo2.ROBOTS,
        gym_gazebo2.RobotRow("mara.urdf"),
        gym_gazebo2.RobotRow("scara.urdf"),
    ),
    "task": (gym_gazebo2.register_task, gym_gazebo2.TASKS, gym_gazebo2.ReachTask((0, 0, 1)), gym_gazebo2.ReachTask((0, 1, 0))),
    "env": (gym_gazebo2.register_env, gym_gazebo2.ENVIRONMENTS, EnvRow("mara", "mara_reach"), EnvRow("scara", "scara_reach")),
    "backend": (gym_gazebo2.register_backend, gym_gazebo2.BACKENDS, "mine:Backend", "other:Backend"),
}


def test_a_cell_of_a_notebook_may_run_again():
    """A definition of the user's own program replaces itself; nothing else does."""
    cell = "class Task: pass\nadd_row(table, 'mine', Task)"
    names = {"__name__": "__main__", "add_row": add_row, "table": {}}
    exec(cell, names)
    first = names["table"]["mine"]
    exec(cell, names)
    assert names["table"]["mine"] is not first
    with pytest.raises(InvalidArgumentError, match="not yet in use"):
        exec("class Other: pass\nadd_row(table, 'mine', Other)", names)


@pytest.mark.parametrize("kind", TABLES)
def test_a_name_that_is_taken_by_something_else_is_refused(kind):
    register, table, row, other = TABLES[kind]
    try:
        register("Own-v0", row)
        register("Own-v0", row)
        kept = table["Own-v0"]
        with pytest.raises(InvalidArgumentError, match="name is 'Own-v0', expected a name not yet in use"):
            register("Own-v0", other)
        assert table["Own-v0"] == kept
    finally:
        del table["Own-v0"]
        gymnasium.registry.pop("Own-v0", None)
