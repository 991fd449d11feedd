"""A job that does nothing, as a module of Monohull and as a function of plain SAQ."""
