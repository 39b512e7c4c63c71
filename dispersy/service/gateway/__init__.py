"""The gateway and the doors beside it: the control socket, tcp, and metrics."""
