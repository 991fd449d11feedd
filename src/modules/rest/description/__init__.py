"""The data API described for programs: OpenAPI 3.1, a Postman collection, types for TypeScript and Python.

facts.SQL                 what a role may know of a schema, with the types of everything
  → facts.Facts           decoded
  → seeing.narrow         without what is closed to the caller, or beyond a key's scopes and column rules
  → openapi, postman      documents, served below ``/rest/v1`` and written by ``monohull gen``
  → typescript, python    source code, written by ``monohull gen types``
"""
