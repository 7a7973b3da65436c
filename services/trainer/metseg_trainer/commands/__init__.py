"""The commands of `metseg-train`, one module each.

Each has SHORT, DESCRIPTION and EXAMPLES for its help, `add_arguments` and `run`. Keras is imported inside `run`,
so that help is quick.
"""
