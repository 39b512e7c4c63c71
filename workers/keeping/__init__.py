"""The writer's communities: what a batch does to them, what leaves them, where their messages are found."""
