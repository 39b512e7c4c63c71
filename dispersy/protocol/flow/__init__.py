"""How much may be asked for, sent and kept waiting."""
