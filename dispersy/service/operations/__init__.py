"""What applications may ask for: operations by group, and how they show what is stored."""
