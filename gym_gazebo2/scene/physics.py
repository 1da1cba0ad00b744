"""Constants of the physics of objects, the same in every engine. Gazebo gets them with its world."""

from __future__ import annotations

__all__ = ["GRAVITY", "LINK_FRICTION", "SPIN_DAMPING", "TORSION"]

GRAVITY = 9.81
"""Acceleration of free fall [m/s²]."""
LINK_FRICTION = 1.0
"""Coefficient of sliding friction of arm links. A contact takes the smaller one of its two bodies."""
TORSION = 0.005
"""Coefficient of torsional friction [m]: the largest torque about the normal of a contact, divided by its force."""
SPIN_DAMPING = 1e-4
"""Damping of an object's rotation [N·m·s/rad]. It stands for rolling resistance: without it a sphere rolls for ever."""
