"""The model library: cards, versions and ensembles."""
