"""The rooms of the house: one folder a feature, entered through its face only.

Which room may import which is a contract in ``pyproject.toml``; how a room is
furnished is described in ``docs/explanation/architecture.md``.
"""
