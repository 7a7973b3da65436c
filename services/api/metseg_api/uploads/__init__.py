"""Uploads: multipart parsing, limits, reservations, idempotency and storing."""
