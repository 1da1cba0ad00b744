"""Environments in forked processes, in other threads, and environments that are dropped without a close."""

import gc
import os
import subprocess
import sys
import threading
import time
from contextlib import closing

import gymnasium as gym
import psutil
import pytest

TIMEOUT = 120.0
"""Longest wait for a process of a test [s]."""
MAKERS = {
    "one thread": "gym.make('MARA-v0')",
    "threads": "gym.make_vec('MARA-v0', num_envs=32, backend_options={'num_threads': 2})",
    "pictures": "gym.make('MARA-v0', render_mode='rgb_array')",
    "gazebo": "gym.make('SCARA-v0', backend='gazebo')",
}
"""Kind of resource → code that makes an environment which has it."""
FORK = """
import gc, os, signal, sys, gymnasium as gym, gym_gazebo2
env = {maker}
env.reset(seed=0)
env.render()
process = os.fork()
signal.alarm(60)  # a wait without an end fails the test
if process == 0:
    {child}
    sys.exit(7)
assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 7
env.step(env.action_space.sample())
env.render()
env.close()
print("the parent goes on")
"""
REFUSED = "from gym_gazebo2.errors import GymGazebo2Error\n    try: {call}\n    except GymGazebo2Error as error: print(error)"


def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "ignore", "-c", code]
    return subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, timeout=TIMEOUT, check=False)


@pytest.mark.parametrize("child", ["pass", "env.close()", "del env; gc.collect()"])
@pytest.mark.parametrize("kind", MAKERS)
def test_a_forked_child_ends_and_leaves_the_parent_alone(kind, child):
    done = run(FORK.format(maker=MAKERS[kind], child=child))
    assert done.returncode == 0 and done.stdout == "the parent goes on\n", done.stderr


@pytest.mark.parametrize(
    ("kind", "call", "message"),
    [
        ("threads", "env.step(env.action_space.sample())", "cannot be used in its fork"),
        ("gazebo", "env.step(env.action_space.sample())", "cannot be used in its fork"),
        ("gazebo", "env.reset()", "cannot be used in its fork"),
        ("pictures", "env.render()", "'context': 'spawn'"),
        ("pictures", "gym.make('SCARA-v0', render_mode='rgb_array').unwrapped.core.backend.camera('wrist', 8, 8)", "spawn"),
    ],
)
def test_what_cannot_work_in_a_fork_is_refused_at_once(kind, call, message):
    done = run(FORK.format(maker=MAKERS[kind], child=REFUSED.format(call=call)))
    assert done.returncode == 0 and message in done.stdout, done.stdout + done.stderr


def test_a_batch_with_one_thread_steps_in_a_fork():
    done = run(FORK.format(maker=MAKERS["one thread"], child="print(env.step(env.action_space.sample())[0].shape)"))
    assert done.returncode == 0 and done.stdout.startswith("(24,)"), done.stderr


ASYNC = """
import sys, gymnasium as gym, gym_gazebo2
def main():
    {before}
    env = gym.make_vec({arguments}, num_envs=2, vectorization_mode="async", vector_kwargs={{"context": "{context}"}})
    try:
        env.reset(seed=0)
        env.step(env.action_space.sample())
        print("stepped")
    finally:
        env.close(terminate=True)
if __name__ == "__main__":
    main()
"""
RENDERED = "e = gym.make('MARA-v0', render_mode='rgb_array'); e.reset(); e.render(); e.close()"


@pytest.mark.parametrize(
    ("arguments", "before", "context", "expected"),
    [
        ("'MARACamera-v0'", RENDERED, "fork", "context': 'spawn'"),
        ("'MARACamera-v0'", RENDERED, "spawn", "stepped"),
        ("'MARACamera-v0'", "pass", "fork", "stepped"),
        ("'SCARA-v0', backend='gazebo'", "pass", "fork", "stepped"),
    ],
)
def test_workers_of_gymnasium_work_or_name_the_remedy(tmp_path, arguments, before, context, expected):
    path = tmp_path / "program.py"
    path.write_text(ASYNC.format(arguments=arguments, before=before, context=context))
    done = subprocess.run([sys.executable, path], capture_output=True, text=True, timeout=TIMEOUT, check=False)
    assert expected in done.stdout + done.stderr


def test_every_thread_may_draw():
    env, pictures = gym.make("MARACamera-v0", render_mode="rgb_array"), []

    def draw():
        env.step(env.action_space.sample())
        pictures.append(env.render())

    with closing(env):
        env.reset(seed=0)
        env.render()
        for _ in range(2):
            thread = threading.Thread(target=draw)
            thread.start()
            thread.join(TIMEOUT)
        draw()
    assert len(pictures) == 3 and all(picture.std() > 1 for picture in pictures)


def count_resources() -> tuple[int, int, int]:
    own = psutil.Process()
    return own.num_fds(), own.num_threads(), len(own.children(recursive=True))


@pytest.mark.parametrize("kind", MAKERS)
def test_a_dropped_environment_ends_what_it_opened(kind):
    make = f"e = {MAKERS[kind]}; e.reset(seed=0); e.render_mode and e.render()"
    for _ in range(2):  # the first one loads libraries, which stay
        scope = {"gym": gym}
        before = count_resources()
        exec(make, scope)
        scope.clear()
        gc.collect()
    deadline = time.monotonic() + 10.0  # the system needs a moment to remove a thread that was joined
    while count_resources() != before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert count_resources() == before


def test_a_dropped_window_is_closed(display):
    code = (
        "import gc, threading, gymnasium as gym\n"
        "env = gym.make('MARA-v0', render_mode='human'); env.reset(); env.step(env.action_space.sample())\n"
        "opened = threading.active_count(); del env; gc.collect()\n"
        "print(opened, threading.active_count())"
    )
    done = run(code, DISPLAY=display)
    assert done.returncode == 0 and done.stdout == "2 1\n", done.stdout + done.stderr


@pytest.mark.parametrize("library", ["osmesa", "glfw", "egl", "no_such_library", "disable", ""])
def test_an_environment_that_draws_nothing_needs_no_graphics(library):
    code = (
        "import builtins, ctypes, sys, gymnasium as gym\n"
        "env = gym.make('MARA-v0'); env.reset(); env.step(env.action_space.sample()); print('stepped')\n"
        "env = gym.make('MARA-v0', render_mode='rgb_array'); env.reset()\n"
        "from gym_gazebo2.errors import RenderError\n"
        "try: print(env.render().shape)\n"
        "except RenderError as error: print(error)"
    )
    done = run(code, MUJOCO_GL=library, DISPLAY="")
    drawn = "(480, 640, 3)" if library in ("", "egl") else f"MUJOCO_GL is {library!r}: unset MUJOCO_GL. Install an EGL driver"
    assert done.returncode == 0 and done.stdout.startswith("stepped") and drawn in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize("mode", ["rgb_array", "human"])
def test_triton_is_loaded_before_opengl(mode, tmp_path, display):
    """Where triton comes second, torch ends the process with a segmentation fault. This one only notes when it is loaded."""
    (tmp_path / "triton.py").write_text(
        "import sys\n"
        "egl, glfw = sys.modules.get('mujoco.egl'), sys.modules.get('glfw')\n"
        "is_used = (egl and egl.EGL_DISPLAY) or (glfw and glfw.get_primary_monitor())\n"
        "print('OpenGL' if is_used else 'nothing', 'before triton')\n"
    )
    code = (
        "import sys, gymnasium as gym\n"
        f"env = gym.make('MARA-v0', render_mode={mode!r}); print('made', 'triton' in sys.modules)\n"
        "env.reset(); env.render(); env.close()"
    )
    done = run(code, PYTHONPATH=str(tmp_path), DISPLAY=display)
    assert done.returncode == 0 and done.stdout == "made False\nnothing before triton\n", done.stdout + done.stderr


def test_a_broken_triton_is_no_reason_not_to_draw(tmp_path):
    (tmp_path / "triton.py").write_text("raise ImportError('of another platform')")
    code = "import gymnasium as gym; env = gym.make('MARA-v0', render_mode='rgb_array'); env.reset(); print(env.render().shape)"
    done = run(code, PYTHONPATH=str(tmp_path))
    assert done.returncode == 0 and done.stdout == "(480, 640, 3)\n", done.stdout + done.stderr
