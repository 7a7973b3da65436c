"""Figures that compare a mask with the truth, on arrays alone: nothing here knows a network, a file or a case."""
