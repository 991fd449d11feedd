"""The HTTP/1.1 server of an API process, in the event loop of the application.

A server in threads of its own hands each request to the loop and each answer
back: two wake-ups and a turn of the interpreter's lock, which cost more than
the data API needs for the rest (ADR 0027). Here bytes that arrive become a call
of the ASGI application in the same turn of the loop, and what it answers is
written in that turn.

`heads` reads the head of a request, `chunks` a body in chunks, `answers` writes
the head of an answer, `connection` ties them together, and `worker` is what a
process does. Granian's main process starts, watches and stops the workers.
"""
