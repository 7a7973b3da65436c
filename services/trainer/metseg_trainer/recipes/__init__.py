"""Recipes: every choice of a training run as data."""
