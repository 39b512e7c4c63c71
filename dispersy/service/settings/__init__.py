"""Settings: what there are, where each comes from, and which processes follow from them."""
