"""A node's home on disk: its folders, its keys' passphrase, and who may come from elsewhere."""
