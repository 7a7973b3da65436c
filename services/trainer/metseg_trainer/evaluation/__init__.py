"""Evaluation: predictions, scores, operating points, calibration and model cards."""
