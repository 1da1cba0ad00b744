"""The MuJoCo model of one robot: its URDF plus drives, floor, lights, cameras and the goal marker."""

from __future__ import annotations

import itertools
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import mujoco
import numpy as np

from gym_gazebo2.backends.base import OMEGA
from gym_gazebo2.backends.mujoco.framing import FIELD_OF_VIEW_DEG, OVERVIEW, look_at, place_overview
from gym_gazebo2.backends.mujoco.parts import add_parts, add_sensors, damp_objects, draw_parts
from gym_gazebo2.errors import RobotError
from gym_gazebo2.kinematics import Kinematics
from gym_gazebo2.robots import RobotSpec
from gym_gazebo2.robots.spec import FLOOR
from gym_gazebo2.scene import Scene

__all__ = ["CAMERAS", "make_physics_model", "make_visual_model"]

CAMERAS = (OVERVIEW, "wrist")
"""Names of the cameras of every robot."""
CONTACT_SOLREF, CONTACT_SOLIMP = (0.02, 5.0), (0.98, 0.99, 0.001, 0.5, 2.0)
"""Time constant [s] and damping ratio of contacts, and their impedance. An arm that was placed inside the floor moves out by
about the depth per second: MuJoCo's damping ratio of 1 throws it out, at 130 rad/s for a UR5. An arm that pushes steadily sinks
in by 5 mm."""
LIMIT_SOLIMP = (0.99, 0.999, 0.001, 0.5, 2.0)
"""Impedance of joint limits: harder than contacts, so that a contact cannot push a light joint beyond its limit."""
WRIST_ASIDE, WRIST_BACK, WRIST_AHEAD = 0.075, 0.07, 0.03
"""Place of a gripper's camera: beside the tool and behind it, and the point before the tool at which it looks [m]."""
LOOK_ALONG_TOOL = (0.0, 1.0, 0.0, 0.0)
"""A MuJoCo camera looks along its −z; half a turn about x points it along the tool's z (quaternion wxyz)."""


def make_physics_model(
    robot: RobotSpec,
    physics_dt: float,
    measure_forces: bool = False,
    torque_control: bool = False,
    scene: Scene | None = None,
) -> mujoco.MjModel:
    """Return the model to step: collision shapes and drives, without visuals, lights and cameras.

    Gravity is off: the drive of a real arm compensates the weight of its links. ``ObjectBodies`` applies that of objects.

    Args:
        robot: The arm.
        physics_dt: Physics step [s].
        measure_forces: Whether to add a sensor of the largest contact force, (3,) in the frame of its contact [N].
        torque_control: Whether the controls are efforts at damped joints, in place of the drives' set-points.
        scene: What stands around the arm; None: only the floor.

    Raises:
        RobotError: MuJoCo rejects the URDF.
    """
    spec = _load(robot)
    spec.option.timestep = physics_dt
    # The drive's damping 2ωM̂ is stiff at ω = 40 rad/s. This integrator treats forces that depend on velocity implicitly, so
    # that a step of 5 ms is stable.
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    # By default MuJoCo resets a simulation whose state is NaN, without an error. With AUTORESET disabled the NaN stays, and
    # the backend reports it.
    spec.option.disableflags |= mujoco.mjtDisableBit.mjDSBL_GRAVITY | mujoco.mjtDisableBit.mjDSBL_AUTORESET
    _add_floor(spec, robot.mount_height)
    for i, joint in enumerate(robot.joint_names):
        spec.joint(joint).armature = robot.rotor_inertia[i]  # MuJoCo's name for an inertia that is added at the joint
        if torque_control:
            spec.joint(joint).damping[:] = [robot.effort_damping[i], 0.0, 0.0]  # higher orders in the speed: 0
            spec.add_actuator(name=joint, target=joint, trntype=mujoco.mjtTrn.mjTRN_JOINT)  # a motor: its force is its control
        else:
            _add_drive(spec, joint, robot.drive_inertia[i], robot.effort_limit[i])
    if not robot.default_contacts:
        _set_contacts(spec, robot)
    if scene is not None:
        add_parts(spec, scene)
    if scene is not None and scene.num_objects:
        add_sensors(spec, _find_root(spec, robot))
    elif measure_forces:
        _add_force_sensor(spec)
    model = _compile(spec, robot)
    if scene is not None and scene.num_objects:
        damp_objects(model, robot.dof)
    return model


def make_visual_model(robot: RobotSpec, width: int, height: int, scene: Scene | None = None) -> mujoco.MjModel:
    """Return the model to draw. It has the arm's joints of the physics model, so poses can be copied over.

    The goal is the first mocap body, and the members of the scene's pool are the next ones.

    Args:
        robot: The arm.
        width: Width of the largest picture [px].
        height: Height of the largest picture [px].
        scene: What stands around the arm; None: only the floor.

    Raises:
        RobotError: MuJoCo rejects the URDF.
    """
    spec = _load(robot, visual=True)
    _remove_collisions(spec)
    spec.visual.global_.offwidth, spec.visual.global_.offheight = width, height
    spec.visual.headlight.ambient, spec.visual.headlight.diffuse = [0.35] * 3, [0.45] * 3
    _add_floor(spec, robot.mount_height)
    _add_surroundings(spec)
    # A mocap body is moved by setting its position; contype and conaffinity 0 keep it out of collisions.
    marker = spec.worldbody.add_body(name="goal", mocap=True, pos=[0.0, 0.0, -1.0 - robot.mount_height])
    marker.add_geom(
        type=mujoco.mjtGeom.mjGEOM_SPHERE, size=[0.055, 0, 0], rgba=[0.9, 0.1, 0.15, 0.45], contype=0, conaffinity=0
    )
    if scene is not None:
        draw_parts(spec, scene)
    _add_cameras(spec, robot, scene)
    model = _compile(spec, robot)
    if scene is None:
        place_overview(model, robot)
    return model


def _load(robot: RobotSpec, visual: bool = False) -> mujoco.MjSpec:
    """Read the URDF, and exclude the pairs of links whose collisions do not count.

    Raises:
        RobotError: MuJoCo cannot read the URDF.
    """
    try:
        spec = mujoco.MjSpec.from_string(_make_text(robot, visual))
    except ValueError as error:
        raise RobotError(f"MuJoCo cannot read {robot.urdf!r}: {error}") from error
    # By itself MuJoCo leaves out the link before and the link behind a joint, but not where the first is fixed to the world,
    # as the base is. Every engine excludes the pairs of the specification, and no others.
    spec.option.disableflags |= mujoco.mjtDisableBit.mjDSBL_FILTERPARENT
    bodies = {body.name for body in spec.bodies}
    for pair in robot.excluded_pairs:
        names = ["world" if name == FLOOR else name for name in (pair.link1, pair.link2)]
        if bodies.issuperset(names):
            spec.add_exclude(bodyname1=names[0], bodyname2=names[1])
    return spec


def _make_text(robot: RobotSpec, visual: bool) -> str:
    """Return the text of the URDF, with the options of MuJoCo's compiler, which it reads from an element of its own."""
    root = ET.parse(robot.urdf).getroot()
    options = {
        # Links behind fixed joints stay bodies of their own: tool frame, cameras and exclusions are found by their names.
        "fusestatic": "false",
        "discardvisual": "false" if visual else "true",
        "meshdir": str(Path(robot.urdf).parent),
        "strippath": "false",
        # A link without a mass is a frame. MuJoCo would give it the mass of its shapes.
        "inertiafromgeom": "false",
        # Makers round their inertias, and then one principal moment may be larger than the sum of the others.
        "balanceinertia": "true",
    }
    root.insert(0, ET.Element("mujoco"))
    ET.SubElement(root[0], "compiler", options)
    return ET.tostring(root, encoding="unicode")


def _compile(spec: mujoco.MjSpec, robot: RobotSpec) -> mujoco.MjModel:
    try:
        model = spec.compile()
    except ValueError as error:
        raise RobotError(f"MuJoCo cannot compile {robot.urdf!r}: {error}") from error
    # The free joints of objects come last.
    joints = tuple(model.joint(i).name for i in range(model.njnt) if model.jnt_type[i] != mujoco.mjtJoint.mjJNT_FREE)
    if joints != robot.joint_names:
        # The backend takes qpos[i] for joint i of the robot, so an order of its own would move the wrong joints.
        raise RobotError(f"MuJoCo reads the joints {joints} from {robot.urdf!r}, expected {robot.joint_names}.")
    return model


def _find_root(spec: mujoco.MjSpec, robot: RobotSpec) -> str:
    """Return the name of the first body of the arm: the base, or the link behind it where the base is the world itself."""
    body = spec.body(robot.link_names[0])
    while body.parent.name != "world":
        body = body.parent
    return str(body.name)


def _add_drive(spec: mujoco.MjSpec, joint: str, inertia: float, effort: float) -> None:
    """Add the drive of docs/semantics.md as an actuator whose set-point ramps by itself.

    The actuator's activation is u = s + 2ṡ/ω, which the engine integrates from the control ṡ. Its force is
    clip(M̂(ω²(u − q) − 2ωq̇), ±effort), which equals the contract's clip(M̂(ω²(s − q) + 2ω(ṡ − q̇)), ±effort).

    Args:
        spec: The model.
        joint: Name of the joint.
        inertia: Apparent inertia that the drive assumes, M̂ [kg·m²].
        effort: Torque limit [N·m].
    """
    # MuJoCo's force is gainprm[0]·u + biasprm[0] + biasprm[1]·q + biasprm[2]·q̇. The arrays have 10 entries each.
    spec.add_actuator(
        name=joint,
        target=joint,
        trntype=mujoco.mjtTrn.mjTRN_JOINT,
        dyntype=mujoco.mjtDyn.mjDYN_INTEGRATOR,
        gaintype=mujoco.mjtGain.mjGAIN_FIXED,
        biastype=mujoco.mjtBias.mjBIAS_AFFINE,
        gainprm=np.array([inertia * OMEGA**2] + [0.0] * 9),
        biasprm=np.array([0.0, -inertia * OMEGA**2, -2.0 * inertia * OMEGA] + [0.0] * 7),
        forcelimited=1,
        forcerange=[-effort, effort],
    )


def _set_contacts(spec: mujoco.MjSpec, robot: RobotSpec) -> None:
    """Set the parameters of contacts and joint limits."""
    # Fingers are no exception: firm contacts throw a finger that was placed in the floor out of its limits. What fingers grip
    # needs firm contacts of its own, with a higher priority: else it sinks in by a centimetre and slips out.
    for geom in spec.geoms:
        geom.solref[:], geom.solimp[:] = CONTACT_SOLREF, CONTACT_SOLIMP
    for name in robot.joint_names:
        spec.joint(name).solimp_limit[:] = LIMIT_SOLIMP


def _add_force_sensor(spec: mujoco.MjSpec) -> None:
    """Add a sensor of the largest force among all contacts."""
    # A contact sensor's intprm: the fields to report as bits, how contacts are reduced (2: the largest force), and how many.
    force, maxforce = 1 << int(mujoco.mjtConDataField.mjCONDATA_FORCE), 2
    spec.add_sensor(name="contact", type=mujoco.mjtSensor.mjSENS_CONTACT, intprm=[force, maxforce, 1])


def _add_floor(spec: mujoco.MjSpec, mount_height: float) -> None:
    """Add the floor, below the base by the height at which it is mounted [m]."""
    spec.worldbody.add_geom(name="floor", type=mujoco.mjtGeom.mjGEOM_PLANE, size=[0, 0, 1], pos=[0, 0, -mount_height])


def _add_surroundings(spec: mujoco.MjSpec) -> None:
    """Add sky, floor pattern and a light with shadows. Only pictures need them."""
    texture = mujoco.mjtTexture
    spec.add_texture(
        name="sky", type=texture.mjTEXTURE_SKYBOX, builtin=mujoco.mjtBuiltin.mjBUILTIN_GRADIENT,
        rgb1=[0.75, 0.84, 0.93], rgb2=[0.98, 0.98, 1.0], width=256, height=256,
    )  # fmt: skip
    spec.add_texture(
        name="floor", type=texture.mjTEXTURE_2D, builtin=mujoco.mjtBuiltin.mjBUILTIN_CHECKER,
        rgb1=[0.62, 0.66, 0.70], rgb2=[0.70, 0.74, 0.78], width=256, height=256,
    )  # fmt: skip
    material = spec.add_material(name="floor", texrepeat=[5, 5], texuniform=True, reflectance=0.05)
    material.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = "floor"
    spec.geom("floor").material = "floor"
    spec.worldbody.add_light(
        pos=[0.8, -1.2, 2.5],
        dir=[-0.3, 0.45, -0.85],
        diffuse=[0.7] * 3,
        type=mujoco.mjtLightType.mjLIGHT_DIRECTIONAL,
        castshadow=True,
    )


def _add_cameras(spec: mujoco.MjSpec, robot: RobotSpec, scene: Scene | None) -> None:
    """Add a camera that shows the whole arm, and one beside the tool that looks along it, or between its fingers."""
    overview = spec.worldbody.add_camera(name=OVERVIEW, fovy=FIELD_OF_VIEW_DEG)  # place_overview puts it in place
    if scene is not None:
        # From the front, since the arm stands between objects and the usual camera. One place suits arms of about a metre.
        size = Kinematics(robot).compute_reach()
        factor = 1.0 if 0.75 < size < 1.5 else size / 1.1
        eye, target = factor * np.array([1.3, -0.9, 0.8]), factor * np.array([0.35, 0.0, 0.15])
        overview.pos[:], overview.quat[:] = eye, look_at(eye, target)
    place = {"pos": [0.0, 0.07, 0.0], "quat": LOOK_ALONG_TOOL} if robot.gripper is None else _look_between_fingers(robot)
    spec.body(robot.tool_frame).add_camera(name="wrist", fovy=75, **place)


def _look_between_fingers(robot: RobotSpec) -> dict[str, Any]:
    """Return position and orientation of a camera in the tool's frame, beside the fingers, that looks at what they grip."""
    finger = robot.chain_dof
    # The first finger's axis in the tool's frame. A finger slides along its axis, and swings across it.
    T = np.linalg.inv(robot.T_tcp_to_last) @ robot.T_joint_to_parent[finger]
    axis = T[:3, :3] @ robot.axis[finger]
    tool = np.array([0.0, 0.0, 1.0])
    side = np.cross(axis, tool) if robot.is_prismatic[finger] else axis - (axis @ tool) * tool
    if np.linalg.norm(side) < 1e-6:
        side = np.array([1.0, 0.0, 0.0])
    side /= np.linalg.norm(side)
    position = WRIST_ASIDE * side - WRIST_BACK * tool
    backward = (position - WRIST_AHEAD * tool) / np.linalg.norm(position - WRIST_AHEAD * tool)
    right = np.cross(side, tool)
    quat = np.empty(4)
    mujoco.mju_mat2Quat(quat, np.column_stack([right, np.cross(backward, right), backward]).ravel())
    return {"pos": position, "quat": quat}


def _remove_collisions(spec: mujoco.MjSpec) -> None:
    """Remove the shapes that are there for collisions only, if the URDF has others to draw."""
    visible = [geom for geom in spec.geoms if geom.contype == 0]
    if visible:
        for geom in [geom for geom in spec.geoms if geom.contype != 0]:
            spec.delete(geom)
    for mesh in spec.meshes:
        mesh.inertia = mujoco.mjtMeshInertia.mjMESH_INERTIA_SHELL  # a visual mesh may be open, and then has no volume


def list_collision_pairs(model: mujoco.MjModel) -> list[tuple[str, str]]:
    """Return the pairs of bodies that can collide, by name. The floor belongs to the body "world"."""
    # An exclusion is stored as (body1 << 16) + body2, with body1 < body2. weldid 0 means fixed to the world.
    excluded = {int(signature) for signature in model.exclude_signature}
    bodies = [i for i in range(model.nbody) if model.body_geomnum[i]]
    moving = [i for i in bodies if model.body_weldid[i] != 0]
    return [
        (model.body(a).name, model.body(b).name)
        for a, b in itertools.combinations(bodies, 2)
        if (a in moving or b in moving) and ((a << 16) + b) not in excluded
    ]
