"""From an upload to a result: reading, prediction, lesions, follow-up."""
