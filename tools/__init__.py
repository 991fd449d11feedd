"""What checks and generates around the product; nothing here is shipped."""
