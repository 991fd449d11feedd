"""The platform's own way to PostgreSQL: engine, unit of work, tables, migrations.

Requests for data go another way (`wire`, `data`): they log in with fewer rights.
"""
