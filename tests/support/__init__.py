"""What several tests stand on: real servers and stand-ins, never a copy of the code under test."""
