"""The URDFs of the built-in robots, as package data: ``importlib.resources`` finds them in every kind of installation."""
