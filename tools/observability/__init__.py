"""What is written from the catalogue of metrics: alert rules, their tests, and dashboards."""
