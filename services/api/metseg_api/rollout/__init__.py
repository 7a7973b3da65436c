"""Model rollout: which version of a model jobs get, and how that is changed."""
