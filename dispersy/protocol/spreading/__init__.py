"""New messages: pushed to few, announced to those who asked for it, sent within a budget."""
