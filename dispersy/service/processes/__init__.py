"""The processes of a node: started, watched, started again and ended together."""
