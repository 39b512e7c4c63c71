"""The roles, one file each, the loop that drives them, and the rooms of what they are made of."""
