"""Who vouches for people beside ourselves: Google and the like, and any OpenID provider by configuration."""
