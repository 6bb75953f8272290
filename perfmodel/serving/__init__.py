"""Servers with many users: engines, steady state, simulation. May import: predict and below."""
