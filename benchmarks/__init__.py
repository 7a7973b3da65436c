"""The measured claims, each a program of its own."""
