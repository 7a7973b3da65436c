"""The page on which a clinician sees the lesions of a scan."""
