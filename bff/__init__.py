"""A caching backend-for-frontend for member portals and mobile apps on Nexudus."""

__version__ = "0.1.0"
