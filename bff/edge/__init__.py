"""HTTP towards the apps."""
