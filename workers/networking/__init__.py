"""What the network role is made of: neighbourhoods, what leaves for them, and who works on what comes in."""
