"""The roles, one file each, and the loop that drives them."""
