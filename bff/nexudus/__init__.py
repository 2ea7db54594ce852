"""HTTP towards Nexudus: which headers travel, bounded cached calls, streamed pass-through."""
