"""What became of a request, or would become of one, and by which rule."""
