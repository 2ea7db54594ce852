"""The operators' page: its pictures, its stream, and its files in `files/`."""
