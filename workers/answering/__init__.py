"""What the responder is made of: communities as they are served, and answers to what is asked by name."""
