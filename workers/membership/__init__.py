"""Which communities this node is a member of, by what names it knows them, and to whom it does not listen."""
