"""Who may do what, the orders that change it, and why a message stands as it does."""
