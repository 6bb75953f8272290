"""Models that no catalog has: small ones of common architectures, for checking and scaling a calibration."""
