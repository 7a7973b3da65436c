"""Uploaded files read into scans, in limited processes."""
