"""Data models of what is stored and published: jobs, reports, follow-ups and model cards."""
