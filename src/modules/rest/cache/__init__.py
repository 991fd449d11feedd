"""The response cache: reads of tables that are marked are answered again while nobody has written to them.

    marking     which tables: those with a trigger that tells of each commit
    facts       what the database says of them: policies, rights, why one cannot be cached
    trees       what a policy reads, by the tree that PostgreSQL made of it
    reads       which reads depend on nothing but rows
    line        hears of commits, and proves that it has heard of all up to a moment ago
    store       answers in memory
    shared      the same in Redis, sealed
    serving     answers reads by all of these

docs/decisions/0026-response-cache.md says why it is never older than its bound.
"""
