"""Rigid registration of a prior to the current scan."""
