"""What the roles say to each other over ZeroMQ: batches and their frames, sockets, sharding."""
