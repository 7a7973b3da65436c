"""Webhooks (Standard Webhooks): a signed message about how a job ended, repeated until it is received."""
