"""From what processes said to what operators are shown: the hour, and whether it is well."""
