"""How requests become signed messages of ours, also those that a second author signs."""
