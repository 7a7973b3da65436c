"""Ways to run metseg."""
