"""The service's paths, one module for each kind of client."""
