"""Where training cases come from: sources, manifests and leakage checks."""
