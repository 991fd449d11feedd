// What the official client shows of a request that would cost too much.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { anon, service } from './client.mjs'

test('a refusal names the filter and the index', async () => {
  const { data, error, status } = await anon.from('many').select('id').eq('note', 'x')
  assert.equal(data, null)
  assert.equal(status, 403)
  assert.equal(error.code, 'MH124')
  assert.match(error.details, /No index serves note=eq/)
  assert.equal(error.hint, 'This index would help: create index on "public"."many" ("note")')
  assert.equal((await anon.from('many').select('id').eq('id', 7)).data.length, 1)
  assert.equal((await service.from('many').select('id').eq('note', 'note 7')).data.length, 1)
})

test('embeds may be so deep', async () => {
  const { error } = await anon.from('makers').select('name,goods(makers(name))')
  assert.equal(error.code, 'MH126')
  assert.equal((await anon.from('makers').select('name,goods(id)')).error, null)
})
