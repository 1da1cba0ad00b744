"""Scenes as data: their checks, and the pool of members that is the same everywhere."""

import pickle

import numpy as np
import pytest
import trimesh

from gym_gazebo2.errors import InvalidArgumentError, UnknownNameError
from gym_gazebo2.scene import SHAPES, FixedBox, ObjectKind, Scene, Zone

from .scenes import KINDS, SCENE, TABLE

SIZE = (0.02, 0.03, 0.04)


def test_the_same_seed_gives_the_same_pool_and_another_seed_another():
    pool, again, other = (Scene(KINDS, pool_seed=seed).pool for seed in (0, 0, 1))
    np.testing.assert_array_equal(pool.half_size, again.half_size)
    assert (pool.half_size != other.half_size).any()
    assert len(pool) == 12 and pool.names[:5] == ("cube0", "cube1", "cube2", "cube3", "can0")
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(SCENE)).pool.half_size, SCENE.pool.half_size)


def test_sizes_lie_in_the_range_and_fit_the_shape():
    pool = SCENE.pool
    assert ((pool.half_size >= 0.015) & (pool.half_size <= 0.03)).all()
    for kind, columns in ((0, (0, 1, 2)), (1, (0, 1)), (2, (0, 1, 2))):  # a cube, a cylinder's radius, a sphere
        sizes = pool.half_size[pool.kind == kind][:, columns]
        assert (sizes == sizes[:, :1]).all()
        assert len(np.unique(sizes)) == 4
    box = Scene((ObjectKind("box", "box", (0.01,) * 3, LARGE, 3),)).pool.half_size
    assert (box[:, 0] != box[:, 1]).all()


LARGE = (0.03,) * 3


@pytest.mark.parametrize("shape", SHAPES)
def test_mass_and_inertia_are_those_of_the_shape(shape):
    pool = Scene((ObjectKind("a", shape, SIZE, SIZE, density=500.0), ObjectKind("b", shape, SIZE, SIZE, mass=0.3)), 1).pool
    x, y, z = pool.half_size[0]
    mesh = {
        "box": lambda: trimesh.creation.box((2 * x, 2 * y, 2 * z)),
        "cylinder": lambda: trimesh.creation.cylinder(x, 2 * z, sections=256),
        "sphere": lambda: trimesh.creation.icosphere(5, x),
    }[shape]()
    mesh.density = 500.0
    assert pool.mass[0] == pytest.approx(mesh.mass, rel=2e-3) and pool.mass[1] == 0.3
    np.testing.assert_allclose(pool.inertia[0], np.diag(mesh.moment_inertia), rtol=4e-3)
    np.testing.assert_allclose(pool.inertia[1] / 0.3, pool.inertia[0] / pool.mass[0])


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"shape": "cone"}, "no shape 'cone'"),
        ({"smallest": (0.0, 0.1, 0.1)}, "0 < smallest"),
        ({"smallest": (0.5, 0.1, 0.1)}, "0 < smallest"),
        ({"largest": (0.1, np.nan, 0.1)}, "0 < smallest"),
        ({"smallest": (0.1, 0.1)}, "0 < smallest"),
        ({"mass": 0.0}, "mass is 0.0"),
        ({"density": -1.0}, "density is -1.0"),
        ({"friction": np.inf}, "friction is inf"),
        ({"count": 0}, "count is 0"),
    ],
)
def test_an_invalid_kind_is_refused(change, text):
    with pytest.raises((InvalidArgumentError, UnknownNameError), match=text):
        ObjectKind(**{"name": "a", "shape": "box", "smallest": (0.02,) * 3, "largest": LARGE, **change})


def test_invalid_boxes_and_scenes_are_refused():
    with pytest.raises(InvalidArgumentError, match="box 'wall'"):
        FixedBox("wall", (0, 0, np.nan), SIZE)
    with pytest.raises(InvalidArgumentError, match="friction"):
        FixedBox("wall", (0, 0, 0), SIZE, friction=0.0)
    with pytest.raises(InvalidArgumentError, match="box 'bin'"):
        Zone("bin", (0, 0, 0), (0, 1, 1))
    with pytest.raises(InvalidArgumentError, match="different names"):
        Scene(KINDS, 1, (TABLE, TABLE))
    with pytest.raises(InvalidArgumentError, match="num_objects is 13, but the scene's pool has 12"):
        Scene(KINDS, 13)
    assert Scene((), 0, (TABLE,)).pool.names == ()
