"""After the release: what was answered, what cars sold for, and what that says of the model."""
