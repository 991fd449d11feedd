// What the suites share: clients of the running server, and the words that they test with.
import { PostgrestClient } from '@supabase/postgrest-js'

const url = `${process.env.MONOHULL_URL}/rest/v1`
const as = (token, more = {}) => new PostgrestClient(url, { headers: { apikey: process.env.ANON_KEY, Authorization: `Bearer ${token}`, ...more } })

export const anon = as(process.env.ANON_KEY)
export const service = as(process.env.SERVICE_KEY)
export const nesting = as(process.env.SERVICE_KEY, { Prefer: 'nested=insert' })
export const ada = as(process.env.ADA_TOKEN)

export const rows = async (query) => {
  const { data, error } = await query
  if (error) throw new Error(`${error.code} ${error.message}`)
  return data
}
export const ids = async (query) => (await rows(query)).map((row) => row.id)
