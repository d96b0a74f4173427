"""A proxy that breaks real TCP connections in many ways, and the outcome of each fault."""
