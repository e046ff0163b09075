"""Listings: read, mapped, cleaned and turned into numbers."""
