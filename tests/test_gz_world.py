"""gz-sim's world and environment as text, and the bit masks that keep pairs of links apart. None of it needs gz-sim."""

from __future__ import annotations

import itertools
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest

from gym_gazebo2.cli import main
from gym_gazebo2.errors import InvalidArgumentError
from gym_gazebo2.gazebo.build import try_build
from gym_gazebo2.gazebo.collide_bits import NUM_BITS, find_masks
from gym_gazebo2.gazebo.errors import GazeboError
from gym_gazebo2.gazebo.gz_locate import COMMANDS, GzSim, find_gz_sim
from gym_gazebo2.gazebo.gz_world import BEYOND_LIMIT, OBJECT, make_gz_world
from gym_gazebo2.gazebo.links import RobotModel
from gym_gazebo2.gazebo.rigid_bodies import merge_rigid
from gym_gazebo2.gazebo.scene_sdf import FIRM
from gym_gazebo2.robots import ROBOTS, RobotRow, RobotSpec, make_robot

from .arms import ARMS, make_row
from .conftest import ROOT
from .scenes import SCENE, make_panda
from .sdf_masses import find_top, sum_embedded, sum_link

GANTRY = RobotRow(str(ROOT / "tests" / "data" / "gantry.urdf"), home=(0.0,) * 4)


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    library = tmp_path / "libplugin.so"
    library.touch()
    return library


@pytest.fixture(params=[*sorted(ROBOTS), *(name for name in ARMS if name != "baxter"), "gantry"])
def arm(request: pytest.FixtureRequest) -> RobotSpec:
    name = request.param
    return make_robot(GANTRY if name == "gantry" else name if name in ROBOTS else make_row(name))


def read_world(robot: RobotSpec, plugin: Path, **options: object) -> ET.Element:
    world = ET.fromstring(make_gz_world(robot, plugin, **options)).find("world")  # type: ignore[arg-type]
    assert world is not None
    return world


def find_model(world: ET.Element, name: str) -> ET.Element:
    model = world.find(f"model[@name='{name}']")
    assert model is not None
    return model


def read_mask(shape: ET.Element) -> int:
    return int(shape.findtext("surface/contact/collide_bitmask") or "-1")


def list_shapes(robot: RobotSpec, model: ET.Element) -> list[tuple[str, str, int]]:
    """Return link of the URDF, body and bit mask of every collision shape."""
    owners = merge_rigid(RobotModel(robot)).owners
    shapes = []
    for link in model.findall("link"):
        body = link.get("name", "")
        masks = [read_mask(shape) for shape in link.findall("collision")]
        names = owners[body] if body in owners else owners[body.removesuffix("_link")]
        shapes += [(name, body, mask) for name, mask in zip(names, masks, strict=True)]
    return shapes


def test_exactly_the_pairs_of_the_embedded_model_collide(arm: RobotSpec, plugin: Path) -> None:
    scene = pytest.importorskip("gym_gazebo2.backends.mujoco.scene")
    embedded = scene.make_physics_model(arm, 0.005)
    welded = {embedded.body(i).name: int(embedded.body_weldid[i]) for i in range(embedded.nbody)}
    # MuJoCo never collides two links of one rigid body.
    expected = {frozenset(pair) for pair in scene.list_collision_pairs(embedded) if welded[pair[0]] != welded[pair[1]]}
    world = read_world(arm, plugin)
    model = find_model(world, arm.name)
    [floor] = find_model(world, "floor").findall("link/collision")
    shapes = [*list_shapes(arm, model), ("world", "floor", read_mask(floor))]
    assert all(0 < mask < 2**NUM_BITS for *_, mask in shapes)
    jointed = {frozenset((joint.findtext("parent"), joint.findtext("child"))) for joint in model.findall("joint")}
    ground = {joint.findtext("child") for joint in model.findall("joint") if joint.findtext("parent") == "world"} | {"floor"}
    pairs = set()
    for (one, body, mask), (other, other_body, other_mask) in itertools.combinations(shapes, 2):
        # DART never collides shapes of one body, or of two bodies that a joint connects. Contacts on the ground do not count.
        is_free = body == other_body or frozenset((body, other_body)) in jointed or {body, other_body} <= ground
        if mask & other_mask and not is_free:
            pairs.add(frozenset((one, other)))
    assert pairs == expected


def test_masks_of_random_pairs() -> None:
    rng, names = np.random.default_rng(0), [f"link{i}" for i in range(9)]
    everything = [frozenset(pair) for pair in itertools.combinations(names, 2)]
    for share in (0.0, 0.2, 0.5, 0.9, 1.0):
        excluded = {pair for pair in everything if rng.random() < share}
        masks = find_masks(names, excluded)
        for pair in everything:
            one, two = pair
            assert bool(masks[one] & masks[two]) != (pair in excluded)
        assert all(masks.values()), "every link still collides with other models"


def test_a_pair_that_does_not_matter_saves_bits() -> None:
    names = ["a", "b", "c"]
    pairs = {frozenset(names[:2])}
    assert set(find_masks(names, pairs, pairs).values()) == {1}
    assert find_masks(names, pairs) == {"a": 1, "b": 2, "c": 3}


def test_too_many_groups_are_an_error() -> None:
    names = [f"link{i}" for i in range(NUM_BITS + 1)]
    excluded = {frozenset(pair) for pair in itertools.combinations(names, 2)}
    with pytest.raises(GazeboError, match="need 17 bits of gz-sim's collision masks, but only 16 are free"):
        find_masks(names, excluded)


def test_bodies_have_the_masses_of_the_embedded_model(arm: RobotSpec, plugin: Path) -> None:
    model = find_model(read_world(arm, plugin), arm.name)
    expected, written = sum_embedded(arm), {name: np.zeros(13) for name in sum_embedded(arm)}
    bolted = {joint.findtext("child") for joint in model.findall("joint") if joint.findtext("parent") == "world"}
    for link in model.findall("link"):
        if link.get("name") not in bolted:
            written[find_top(model, link.get("name", ""))] += sum_link(link)
    for name, sums in expected.items():
        np.testing.assert_allclose(written[name], sums, rtol=1e-6, atol=1e-9, err_msg=name)


def test_an_arm_among_many_held_links_may_need_too_many_bits(plugin: Path) -> None:
    with pytest.raises(GazeboError, match=r"need \d+ bits of .* but only 16 are free"):
        make_gz_world(make_robot(make_row("baxter")), plugin)


def test_links_on_the_ground_are_bolted_and_joints_are_those_that_move(arm: RobotSpec, plugin: Path) -> None:
    model = find_model(read_world(arm, plugin), arm.name)
    bolts = [joint for joint in model.findall("joint") if joint.findtext("parent") == "world"]
    assert 1 <= len(bolts) <= 2 and all(joint.get("type") == "fixed" for joint in bolts)
    moving = [joint.get("name") for joint in model.findall("joint") if joint.get("type") != "fixed"]
    assert sorted(map(str, moving)) == sorted(arm.joint_names)
    assert len(model.findall("link")) == len(model.findall("joint")) and not model.findall("link/kinematic")


@pytest.mark.parametrize("physics_dt", [0.001, 0.0025])
def test_damping_is_the_rotors_inertia_over_the_step(arm: RobotSpec, plugin: Path, physics_dt: float) -> None:
    model = find_model(read_world(arm, plugin, physics_dt=physics_dt), arm.name)
    damping = [float(model.findtext(f"joint[@name='{name}']/axis/dynamics/damping") or "nan") for name in arm.joint_names]
    np.testing.assert_allclose(np.array(damping) * physics_dt, arm.rotor_inertia, rtol=1e-12)


def test_joints_end_beyond_the_soft_stops(arm: RobotSpec, plugin: Path) -> None:
    model = find_model(read_world(arm, plugin), arm.name)
    axes = [model.find(f"joint[@name='{name}']/axis/limit") for name in arm.joint_names]
    limits = np.array([[float(axis.findtext(key) or "nan") for key in ("lower", "upper")] for axis in axes if axis is not None])
    np.testing.assert_allclose((limits[:, 1] - arm.upper) / arm.scale, BEYOND_LIMIT, rtol=1e-9)
    np.testing.assert_allclose((arm.lower - limits[:, 0]) / arm.scale, BEYOND_LIMIT, rtol=1e-9)


def test_the_world_has_the_parts_of_the_scene(plugin: Path) -> None:
    """A part touches what it should; contacts with objects have shapes of their own, whose contacts are not reported."""
    robot = make_panda()
    world = read_world(robot, plugin, scene=SCENE)
    models = {model.get("name"): model for model in world.findall("model")}
    assert {f"scene_{name}" for name in (*SCENE.pool.names, "table", "bin")} | {"panda", "floor"} == set(models)
    assert not list(models["scene_bin"].iter("collision")) and list(models["scene_bin"].iter("visual"))
    masks = {name: {read_mask(shape) for shape in model.iter("collision")} for name, model in models.items() if name != "panda"}
    (floor,), (table,), (cube,) = masks["floor"], masks["scene_table"], masks["scene_cube0"]
    assert cube & floor & table & OBJECT
    moving = [link for link in models["panda"].findall("link") if link.get("name") != robot.base_link]
    for shape in (shape for link in moving for shape in link.findall("collision")):
        is_firm = str(shape.get("name")).endswith("_firm")
        mask = read_mask(shape)
        assert bool(mask & cube) == is_firm and bool(mask & table) == (not is_firm) and not (is_firm and mask & floor)
    assert world.findtext("gravity") == "0 0 0", "the plug-in adds the weight"
    rows = {row.findtext("name"): row for row in world.findall("plugin")[-1].findall("object")}
    weights = [float(rows[name].findtext("weight") or "nan") for name in SCENE.pool.names]
    np.testing.assert_allclose(weights, 9.81 * SCENE.pool.mass)


@pytest.mark.parametrize("name", ["panda", "gantry", "ur5", "ur5_gripper", "tiago", "so101"])
def test_firm_shapes_touch_objects_alone(name: str, plugin: Path) -> None:
    """Above all not each other: DART would push links apart that touch by design, and report nothing."""
    robot = make_panda() if name == "panda" else make_robot(GANTRY if name == "gantry" else make_row(name))
    world = read_world(robot, plugin, scene=SCENE)
    model = find_model(world, robot.name)
    shapes = [(link.get("name"), shape) for link in model.findall("link") for shape in link.findall("collision")]
    firm = [(body, read_mask(shape)) for body, shape in shapes if str(shape.get("name")).endswith("_firm")]
    soft = [read_mask(shape) for _, shape in shapes if not str(shape.get("name")).endswith("_firm")]
    [cube] = {read_mask(shape) for shape in find_model(world, "scene_cube0").iter("collision")}
    assert firm and all(mask & cube and not any(mask & other for other in soft) for _, mask in firm)
    jointed = {frozenset((joint.findtext("parent"), joint.findtext("child"))) for joint in model.findall("joint")}
    ground = {joint.findtext("child") for joint in model.findall("joint") if joint.findtext("parent") == "world"}
    for (body, mask), (other, other_mask) in itertools.combinations(firm, 2):
        is_free = body == other or frozenset((body, other)) in jointed or {body, other} <= ground
        assert is_free or not mask & other_mask, (body, other)


def test_the_plug_in_knows_the_name_of_firm_shapes() -> None:
    assert f'kFirm[] = "{FIRM}"' in (ROOT / "gazebo/plugin/gz_sim_arm.cpp").read_text()


def test_a_finger_is_not_damped(plugin: Path) -> None:
    robot = make_robot("panda", gripper=True)
    model = find_model(read_world(robot, plugin), robot.name)
    damped = [model.find(f"joint[@name='{name}']/axis/dynamics") is not None for name in robot.joint_names]
    assert damped == [True] * robot.chain_dof + [False] * (robot.dof - robot.chain_dof)


def test_modes(plugin: Path) -> None:
    robot = make_robot("mara")
    lock_step = read_world(robot, plugin)
    real_time = read_world(robot, plugin, real_time_factor=2.0, namespace="left", gazebo_topics=True)
    factors = [float(world.findtext("physics/real_time_factor") or "nan") for world in (lock_step, real_time)]
    assert factors == [0.0, 2.0] and lock_step.findtext("gravity") == "0 0 0"
    assert [world.findtext("plugin/lock_step") for world in (lock_step, real_time)] == ["true", "false"]
    assert [world.findtext("plugin/namespace") for world in (lock_step, real_time)] == ["mara", "left"]
    assert [len(world.findall("plugin")) for world in (lock_step, real_time)] == [2, 4]
    served = lock_step.findall("plugin")[-1]
    assert served.get("filename") == str(plugin) and served.get("name") == "gym_gazebo2::GzSimPlugin"


def test_a_period_must_be_whole_physics_steps_and_the_plugin_must_exist(plugin: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match="whole number of physics steps"):
        make_gz_world(make_robot("mara"), plugin, physics_dt=0.003)
    with pytest.raises(GazeboError, match="does not exist"):
        make_gz_world(make_robot("mara"), tmp_path / "libnothing.so")


def put_gz(folder: Path, name: str, printed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a program that prints a list of versions be the only one on the PATH, besides the shell's."""
    program = folder / name
    program.write_text(f"#!/bin/sh\n[ \"$*\" = '{COMMANDS[name]} --versions' ] || exit 1\nprintf '{printed}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))


@pytest.mark.parametrize(
    ("printed", "program", "version"),
    [
        ({"gz": "10.4.0\\n"}, "gz", "10.4.0"),
        ({"gz": "8.10.0\\n8.9.0\\n"}, "gz", "8.10.0"),
        ({"gz": "9.1.0~pre1\\n"}, "gz", "9.1.0"),
        ({"ign": "6.17.1\\n6.15.0\\n"}, "ign", "6.17.1"),
        ({"ign": "6.15.0\\n"}, "", None),
        ({"gz": "8.10.0\\n", "ign": "6.17.1\\n"}, "gz", "8.10.0"),
        ({"gz": "7.9.0\\n12.0.0\\n", "ign": "5.4.0\\n"}, "", None),
        ({"gz": ""}, "", None),
    ],
)
def test_the_newest_supported_version_is_found(
    printed: dict[str, str], program: str, version: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in printed.items():
        put_gz(tmp_path, name, text, monkeypatch)
    assert find_gz_sim() == (None if version is None else GzSim(tmp_path / program, version))


def test_command_and_environment_keep_a_server_apart() -> None:
    gz = GzSim(Path("/opt/gz/bin/gz"), "10.4.0")
    run = ["/opt/gz/bin/gz", "sim", "--force-version", "10.4.0"]
    assert gz.make_command(Path("/w.sdf"))[:4] == run and gz.make_command(Path("/w.sdf"))[-1] == "/w.sdf"
    assert {"-s", "-r"} <= set(gz.make_command(Path("/w.sdf")))
    assert gz.make_client() == ([*run, "-g"], {})
    assert gz.make_server_environment("one") == {"GZ_PARTITION": "one", "GZ_IP": "127.0.0.1"}
    assert gz.make_build_options() == {"GZ_SIM_MAJOR": "10", "GZ_SIM_PREFIX": "/opt/gz"}
    fortress = GzSim(Path("/usr/bin/ign"), "6.17.1")
    assert fortress.make_command(Path("/w.sdf"))[:4] == ["/usr/bin/ign", "gazebo", "--force-version", "6.17.1"]
    assert fortress.make_server_environment("one") == {"IGN_PARTITION": "one", "IGN_IP": "127.0.0.1"}
    assert gz.description == "10.4.0 (Jetty, tested)" and fortress.description == "6.17.1 (Fortress, tested, with exceptions)"
    assert GzSim(gz.program, "9.1.0").description == "9.1.0 (Ionic, not tested)"


def test_no_gz_sim_names_the_commands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    assert find_gz_sim() is None
    assert main(["install-gazebo", "--simulator", "gz_sim"]) == 1
    error = capsys.readouterr().err
    assert "not installed" in error and "apt-get install gz-jetty" in error and "conda-forge" in error


def test_missing_headers_name_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("rclpy", reason="ROS 2 is not installed: pip install 'gym_gazebo2[ros2]'")
    from gym_gazebo2.ros import find_ros

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "bin").mkdir()
    for name in COMMANDS:
        (tmp_path / "bin" / name).touch()
    match = r"(?s)CMake does not find ignition-gazebo6\.\s+Install the headers.*libignition-gazebo6-dev"
    with pytest.raises(GazeboError, match=match):
        try_build(GzSim(tmp_path / "bin" / "ign", "6.17.1"), find_ros())
    with pytest.raises(GazeboError, match=r"(?s)not written for\s+gz-sim 77.\s+It knows 6, 8, 9 and 10"):
        try_build(GzSim(tmp_path / "bin" / "gz", "77.0.0"), find_ros())
