"""The page of one job: progress, result, follow-up and deletion."""
