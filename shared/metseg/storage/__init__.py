"""The blob store: a local folder or an object store."""
