"""Where messages are kept: LMDB on disk, the same in memory for tests, and the keyring."""
