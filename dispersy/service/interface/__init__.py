"""The interface to applications: typed requests, replies, error codes, and whose request is waiting."""
