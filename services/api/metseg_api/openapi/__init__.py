"""The OpenAPI document with its examples."""
