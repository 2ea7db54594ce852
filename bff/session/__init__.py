"""Who asks, what they may be shown, and the bootstrap document made of it."""
