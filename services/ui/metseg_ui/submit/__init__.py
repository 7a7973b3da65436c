"""The form for a new scan."""
