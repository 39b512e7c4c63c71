"""The timeline: who may do what because of signed control messages, and the proofs of it."""
