"""Models that no catalog has: small ones of common architectures, for checking and scaling a calibration.

May import: torch, nothing of perfmodel. To add one: a file with a factory that returns a module and its inputs, as
`torch:FILE.py:FACTORY` takes it, and an entry in `measuring/validation_models.py`.
"""
