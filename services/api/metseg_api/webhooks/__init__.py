"""Webhooks (Standard Webhooks): whoever asks for it is told, signed and until it is heard, how a job ended."""
