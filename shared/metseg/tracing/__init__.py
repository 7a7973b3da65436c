"""Traces of a request through the services, with OpenTelemetry where it is installed."""
