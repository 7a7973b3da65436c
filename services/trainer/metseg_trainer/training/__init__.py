"""The training loop: learner, losses, checkpoints, progress and run folder."""
