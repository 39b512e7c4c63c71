"""The intake: from verified messages to what one round of them changes in a community."""
