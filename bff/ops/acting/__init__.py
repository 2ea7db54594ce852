"""What operators do: drop, pause, set, have explained."""
