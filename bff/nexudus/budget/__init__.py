"""What a space may still ask of Nexudus, shared by all processes: windows, pauses, priorities."""
