"""A community's definition: its kinds, what policies each has, and what a newer one may change."""
