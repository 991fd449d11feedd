// Writes the types of Supabase's own generator: node theirs.mjs URL FILE SCHEMA…
import { writeFileSync } from "node:fs"
import { generateTypescript, sortGeneratorMetadata } from "@supabase/postgrest-typegen/generation"
import { introspect } from "@supabase/postgrest-typegen/introspection"
import pg from "pg"

const [url, file, ...includedSchemas] = process.argv.slice(2)
const pool = new pg.Pool({ connectionString: url, max: 1 })
const metadata = sortGeneratorMetadata(await introspect(pool, { includedSchemas }))
const options = { detectOneToOneRelationships: true, postgrestVersion: "14", format: async (code) => code }
writeFileSync(file, await generateTypescript(metadata, options))
await pool.end()
