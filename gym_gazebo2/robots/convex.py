"""Whether convex shapes touch, batched over many pairs: the algorithm of Gilbert, Johnson and Keerthi (GJK, 1988).

A shape is a set of points, whose hull counts, and a radius around it. The algorithm walks to the point of the Minkowski
difference A − B that is nearest to the origin. The shapes intersect where the difference contains the origin.
"""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

__all__ = ["find_touching"]

Array = NDArray[np.float64]

MOST_ITERATIONS = 40
"""Random pairs of hulls need 4 to 12. Pairs that are not decided by then almost touch. They count as touching."""
TOUCHING = 1e-7
"""Shapes that are this near touch [m]."""

EDGES = np.array(list(itertools.combinations(range(4), 2)))
FACES = np.array(list(itertools.combinations(range(4), 3)))


def find_touching(points_a: Array, points_b: Array, T_b_to_a: Array, distance: Array) -> NDArray[np.bool_]:
    """Return which pairs of convex shapes are at most a distance apart.

    Args:
        points_a: (n, p, 3) points of the first shapes, in their own frames [m].
        points_b: (n, p, 3) points of the second shapes, in their own frames [m].
        T_b_to_a: (n, 4, 4) poses of the second frames in the first ones.
        distance: (n,) distances: the sum of both radii, and a margin [m].

    Returns:
        (n,) bool.
    """
    touching = np.ones(len(points_a), dtype=bool)
    active = np.arange(len(points_a))
    R, t = T_b_to_a[:, :3, :3], T_b_to_a[:, :3, 3]
    limit = distance + TOUCHING
    corners = np.repeat(_find_support(points_a, points_b, R, t, -t)[:, None], 4, axis=1)
    weights = np.tile([1.0, 0.0, 0.0, 0.0], (len(active), 1))
    for _ in range(MOST_ITERATIONS):
        if not len(active):
            break
        nearest = np.einsum("ni,nij->nj", weights, corners)
        square = np.einsum("ni,ni->n", nearest, nearest)
        support = _find_support(points_a[active], points_b[active], R[active], t[active], -nearest)
        # The plane through the support point, perpendicular to the direction to the origin, gives a lower bound of the
        # distance.
        bound = np.einsum("ni,ni->n", support, nearest)
        norm = np.sqrt(square)
        is_apart = bound > limit[active] * norm
        is_near = norm <= limit[active]
        is_done = square - bound <= 1e-10 * square  # the support point is no nearer: this is the distance
        touching[active[(is_apart | is_done) & ~is_near]] = False
        going = ~(is_apart | is_near | is_done)
        active, corners, weights, support = active[going], corners[going], weights[going], support[going]
        # A corner without weight does not belong to the part that holds the nearest point, so it can go.
        corners[np.arange(len(active)), np.argmin(weights, axis=1)] = support
        weights = _find_nearest(corners)
    return touching


def _find_support(points_a: Array, points_b: Array, R: Array, t: Array, direction: Array) -> Array:
    """Return the points of the Minkowski differences A − B that are furthest in a direction, (n, 3)."""
    row = np.arange(len(points_a))
    a = points_a[row, np.argmax(np.matmul(points_a, direction[..., None])[..., 0], axis=1)]
    in_b = np.einsum("nij,ni->nj", R, direction)
    b = points_b[row, np.argmin(np.matmul(points_b, in_b[..., None])[..., 0], axis=1)]
    return a - (np.einsum("nij,nj->ni", R, b) + t)


def _find_nearest(corners: Array) -> Array:
    """Return weights (n, 4). The weighted sum of a tetrahedron's corners (n, 4, 3) is its point nearest to the origin.

    The nearest point lies inside exactly one of the 15 parts of the tetrahedron: 4 corners, 6 edges, 4 faces, 1 interior. The
    origin is projected onto each. Parts that do not contain the projection are dropped, and so are degenerate parts. The
    nearest of the others is taken.
    """
    n = len(corners)
    weights = np.zeros((n, 15, 4))
    weights[:, :4] = np.eye(4)
    gram = corners @ corners.swapaxes(1, 2)
    with np.errstate(divide="ignore", invalid="ignore"):
        _project_on_edges(gram, weights[:, 4:10])
        _project_on_faces(gram, weights[:, 10:14])
        _project_on_interior(corners, weights[:, 14])
    is_inside = np.isfinite(weights).all(axis=2) & (weights >= 0.0).all(axis=2)
    weights[~is_inside] = 0.0
    squares = np.einsum("nki,nij,nkj->nk", weights, gram, weights, optimize=True)
    squares[:, 14] = 0.0
    best = np.argmin(np.where(is_inside, squares, np.inf), axis=1)
    return weights[np.arange(n), best]


def _project_on_edges(gram: Array, weights: Array) -> None:
    i, j = EDGES.T
    span = gram[:, i, i] - 2.0 * gram[:, i, j] + gram[:, j, j]
    share = (gram[:, i, i] - gram[:, i, j]) / span
    weights[:, np.arange(6), i] = 1.0 - share
    weights[:, np.arange(6), j] = share


def _project_on_faces(gram: Array, weights: Array) -> None:
    i, j, k = FACES.T
    # With the edges u = cⱼ − cᵢ and v = cₖ − cᵢ, the projection cᵢ + βu + γv solves two linear equations.
    uu = gram[:, i, i] - 2.0 * gram[:, i, j] + gram[:, j, j]
    vv = gram[:, i, i] - 2.0 * gram[:, i, k] + gram[:, k, k]
    uv = gram[:, j, k] - gram[:, i, j] - gram[:, i, k] + gram[:, i, i]
    u, v = gram[:, i, i] - gram[:, i, j], gram[:, i, i] - gram[:, i, k]
    det = uu * vv - uv**2
    det = np.where(det > 1e-12 * uu * vv, det, np.nan)
    beta, gamma = (vv * u - uv * v) / det, (uu * v - uv * u) / det
    weights[:, np.arange(4), i] = 1.0 - beta - gamma
    weights[:, np.arange(4), j] = beta
    weights[:, np.arange(4), k] = gamma


def _project_on_interior(corners: Array, weights: Array) -> None:
    """Write the barycentric coordinates of the origin: all positive where it is inside."""
    edges = corners[:, 1:] - corners[:, :1]
    crosses = np.stack([np.cross(edges[:, (i + 1) % 3], edges[:, (i + 2) % 3]) for i in range(3)], axis=1)
    volume = np.einsum("ni,ni->n", edges[:, 0], crosses[:, 0])
    size = np.prod(np.linalg.norm(edges, axis=2), axis=1)
    volume = np.where(np.abs(volume) > 1e-9 * size, volume, np.nan)
    weights[:, 1:] = -np.einsum("nki,ni->nk", crosses, corners[:, 0]) / volume[:, None]
    weights[:, 0] = 1.0 - weights[:, 1:].sum(axis=1)
