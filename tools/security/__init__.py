"""What looks for weaknesses: of dependencies, of the source, and of a running instance."""
