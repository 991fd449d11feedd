"""A module with one job, on the import path of the product under test."""
