"""A module with one job that SQL may ask for, on the import path of the product under test."""
