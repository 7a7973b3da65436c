"""Evaluation reports, charts and drawings of cases."""
