"""Where messages are delivered to: one module per kind of far end."""
