"""What telemetry costs, in pairs."""
