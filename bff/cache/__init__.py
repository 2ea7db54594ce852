"""Two cache tiers, their keys, their invalidation and their flights.

Knows nothing of HTTP: what to fetch arrives as a callable, what a document means as tags.
"""
