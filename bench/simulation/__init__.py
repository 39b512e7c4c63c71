"""Simulated worlds: real protocol machines, stores in memory, a virtual clock, and links as bad as wanted."""
