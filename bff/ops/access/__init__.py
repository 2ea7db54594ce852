"""Who may look and who may act, what they post, and what they did."""
