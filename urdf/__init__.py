"""The robots' URDFs, as package data."""
