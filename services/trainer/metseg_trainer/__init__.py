"""Data, networks, training, evaluation and export: the only home of Keras code in metseg."""
