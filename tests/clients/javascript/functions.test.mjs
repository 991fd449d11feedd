// Functions with the official client, unmodified.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { anon, rows, service } from './client.mjs'

const equal = assert.deepEqual

test('calls', async () => {
  equal(await rows(anon.rpc('add', { a: 2, b: 3 })), 5)
  equal(await rows(anon.rpc('add', { a: 2 }, { get: true })), 3)
  equal(await rows(anon.rpc('longest', { names: ['a', 'ccc', 'bb'] })), 'ccc')
  equal(await rows(anon.rpc('longest', { names: ['a', 'ccc', 'bb'] }, { get: true })), 'ccc')
  const none = await anon.rpc('nothing')
  equal([none.status, none.data], [204, null])
})

test('results are shaped like tables', async () => {
  const found = anon.rpc('goods_of', { maker: 'Ada' }).select('name,makers(since)').gt('price', 1).order('name')
  equal(await rows(found), [{ name: 'rope of hemp', makers: { since: '1815-12-10' } }])
  const counted = await anon.rpc('goods_of', { maker: 'Ada' }, { get: true, count: 'exact' }).limit(1)
  equal([counted.status, counted.count, counted.data.length], [206, 2, 1])
  const head = await anon.rpc('goods_of', { maker: 'Ada' }, { head: true, count: 'exact' })
  equal([head.data, head.count], [null, 2])
  equal(await rows(service.rpc('rename_maker', { id: 3, name: 'Somebody' }).select('name').single()), { name: 'Somebody' })
  equal((await rows(service.rpc('rename_maker', { id: 3, name: 'Nobody' }))).name, 'Nobody')
})

test('refusals', async () => {
  const missing = await anon.rpc('ad', { a: 1 })
  equal([missing.status, missing.error.code], [404, 'PGRST202'])
  const raised = await anon.rpc('refuse')
  equal([raised.status, raised.error.message, raised.error.hint], [418, 'a teapot', 'stout'])
  equal((await service.rpc('rename_maker', { id: 3, name: 'x' }, { get: true })).status, 405)
})
