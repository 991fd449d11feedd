// Pages by cursor with the official client: a fetch of one's own shows what its answers do not.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { PostgrestClient } from '@supabase/postgrest-js'

const equal = assert.deepEqual

// as in docs/how-to/page-through-tables.md
const cursorsOf = new WeakMap()
const pagingFetch = async (input, init) => {
  const response = await fetch(input, init)
  const found = {}
  for (const [, target, rel] of (response.headers.get('link') ?? '').matchAll(/<([^>]*)>; rel="(\w+)"/g)) {
    found[rel] = new URL(target, response.url).searchParams.get('cursor')
  }
  if (init.signal) cursorsOf.set(init.signal, found) // the one thing that leads back to the request
  return response
}
const client = new PostgrestClient(`${process.env.MONOHULL_URL}/rest/v1`, {
  headers: { apikey: process.env.ANON_KEY }, fetch: pagingFetch,
})
const page = async (query, cursor = '') => {
  const { signal } = new AbortController()
  const { data, error, count } = await query.setHeader('Cursor', cursor).abortSignal(signal)
  return { data, error, count, ...cursorsOf.get(signal) }
}

const goods = (options) => client.from('goods').select('id,price,makers(name)', options).order('price', { ascending: false }).limit(3)

test('pages forward and back', async () => {
  const first = await page(goods())
  equal(first.data.map((row) => row.id), [4, 3, 1])
  equal(first.prev, undefined)
  const second = await page(goods(), first.next)
  equal(second.data.map((row) => row.id), [2])
  equal(second.next, undefined)
  const back = await page(goods(), second.prev)
  equal(back.data, first.data)
  equal(back.prev, undefined)
})

test('with a count, and by parameter', async () => {
  const first = await page(goods({ count: 'exact' }))
  equal(first.count, 4)
  equal((await page(goods({ count: 'exact' }), first.next)).count, 4)
  const query = goods()
  query.url.searchParams.set('cursor', first.next)
  equal((await query).data.map((row) => row.id), [2])
})

test('a cursor of another request is refused', async () => {
  const { next } = await page(goods())
  const { error } = await page(client.from('goods').select().order('name').limit(3), next)
  equal(error.code, 'MH121')
  equal((await page(goods(), 'none')).error.code, 'MH120')
  equal((await page(goods().csv())).error.code, 'MH122')
})
