"""What the gatekeeper is tried on: names of series, and drawings of what is no head."""
