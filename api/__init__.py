"""The carprice service."""
