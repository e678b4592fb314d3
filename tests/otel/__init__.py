"""Telemetry beside a real deployment."""
