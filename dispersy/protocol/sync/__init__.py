"""Synchronisation: what two sets differ in, how it is asked for, and how it is answered."""
