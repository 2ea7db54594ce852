"""What a process counts, and how all processes hear of it and of what operators want."""
