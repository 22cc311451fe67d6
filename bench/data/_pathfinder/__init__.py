"""Geometry and rendering of Pathfinder images."""
