"""Pure state machines: no input or output, no clock, no threads; `now` and `rng` are arguments."""
