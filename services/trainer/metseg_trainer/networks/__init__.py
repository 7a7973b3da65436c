"""The networks that metseg can train, one builder per file, sizes as presets."""
