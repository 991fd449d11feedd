// Writes with the official client, unmodified. Each test leaves the rows as it found them.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ada, nesting, rows, service } from './client.mjs'

const equal = assert.deepEqual
const makers = () => service.from('makers')
const goods = () => service.from('goods')

test('insert', async () => {
  const silent = await makers().insert({ id: 10, name: 'Ten' })
  equal([silent.status, silent.statusText, silent.data, silent.count], [201, 'Created', null, null])
  const shown = await makers().insert([{ id: 11, name: 'Eleven' }, { id: 12, name: 'Twelve' }], { count: 'exact' }).select('id,name')
  equal([shown.status, shown.data, shown.count], [201, [{ id: 11, name: 'Eleven' }, { id: 12, name: 'Twelve' }], 2])
  equal(await rows(goods().insert({ id: 20, maker_id: 10, name: 'x' }).select('price,makers(name)').single()), { price: 1.5, makers: { name: 'Ten' } })
  equal(await rows(goods().insert([{ id: 21, name: 'y' }, { id: 22, name: 'z', price: 3 }], { defaultToNull: false }).select('price')), [{ price: 1.5 }, { price: 3 }])
  const twice = await makers().insert({ id: 10, name: 'Again' })
  equal([twice.status, twice.error.code, twice.error.details], [409, '23505', 'Key (id)=(10) already exists.'])
  equal((await makers().insert({ nothing: 1 })).error.code, 'PGRST204')
  equal((await goods().insert({ maker_id: 999, name: 'x' })).error.code, '23503')
  equal((await goods().delete().gte('id', 20)).status, 204)
  equal((await makers().delete().gte('id', 10)).status, 204)
})

test('upsert', async () => {
  equal(await rows(makers().upsert({ id: 30, name: 'Thirty' }).select('name')), [{ name: 'Thirty' }])
  equal(await rows(makers().upsert({ id: 30, name: 'Dreissig' }).select('name')), [{ name: 'Dreissig' }])
  equal(await rows(makers().upsert({ name: 'Dreissig', since: '2026-01-01' }, { onConflict: 'name' }).select('id,since')), [{ id: 30, since: '2026-01-01' }])
  equal(await rows(makers().upsert({ id: 30, name: 'No' }, { ignoreDuplicates: true }).select('name')), [])
  equal(await rows(makers().delete().eq('id', 30).select('name').single()), { name: 'Dreissig' })
})

test('update and delete', async () => {
  await rows(makers().insert([{ id: 40, name: 'a' }, { id: 41, name: 'b' }]))
  equal((await makers().update({ since: '2000-01-01' }).eq('id', 40)).status, 204)
  const both = await makers().update({ since: '2001-01-01' }, { count: 'exact' }).gte('id', 40).select('id,since').order('id')
  equal([both.status, both.count], [200, 2])
  equal(both.data.map((row) => row.since), ['2001-01-01', '2001-01-01'])
  equal(await rows(makers().update({ name: 'c' }).eq('id', 99).select()), [])
  const capped = await makers().delete().gte('id', 40).maxAffected(1)
  equal([capped.status, capped.error?.code], [400, 'PGRST124'])
  const gone = await makers().delete({ count: 'exact' }).gte('id', 40)
  equal([gone.status, gone.count], [204, 2])
  equal((await makers().update({ name: null }).eq('id', 1)).error.code, '23502')
})

test('row security decides on writes', async () => {
  const foreign = await ada.from('shops').insert({ id: 9, owner: '00000000-0000-0000-0000-000000000002' })
  equal([foreign.status, foreign.error.code], [403, '42501'])
  equal((await ada.from('shops').insert({ id: 9, owner: '00000000-0000-0000-0000-000000000001', city: 'Rome' })).status, 201)
  equal(await rows(ada.from('shops').update({ city: 'X' }).gt('id', 0).select('id').order('id')), [{ id: 1 }, { id: 9 }])
  equal(await rows(ada.from('shops').delete().eq('id', 2).select()), [])
  await rows(ada.from('shops').delete().eq('id', 9))
  await rows(ada.from('shops').update({ city: 'London' }).eq('id', 1))
})

test('a write with a key takes effect once', async () => {
  const write = () => makers().insert({ name: 'Once' }).select('id,name').setHeader('Idempotency-Key', 'once-1').single()
  const [first, again] = [await write(), await write()]
  equal([first.status, again.status, again.data], [201, 201, first.data])
  equal((await makers().select('id').eq('name', 'Once')).data.length, 1)
  const other = await makers().insert({ name: 'Other' }).setHeader('Idempotency-Key', 'once-1')
  equal([other.status, other.error.code], [422, 'MH107'])
  equal((await makers().delete().eq('name', 'Once')).status, 204)
})

test('several requests in one transaction', async () => {
  const steps = [
    { name: 'maker', method: 'POST', path: '/makers?select=id', headers: { Prefer: 'return=representation' }, body: { name: 'Batch' } },
    { method: 'POST', path: '/goods', body: { id: 60, maker_id: { $from: '/maker/0/id' }, name: 'x' } },
    { path: '/goods?select=name,makers(name)&maker_id=eq.{$/maker/0/id}' },
  ]
  const done = await service.from('_batch').insert(steps).select()
  equal([done.status, done.error, done.data.map((step) => step.status)], [200, null, [201, 201, 200]])
  equal(done.data[2].body, [{ name: 'x', makers: { name: 'Batch' } }])
  const failed = await service.from('_batch').insert([{ method: 'DELETE', path: '/goods?id=eq.60' }, ...steps])
  equal([failed.status, failed.error.code], [409, '23505'])
  equal((await goods().delete().eq('id', 60)).status, 204)
  equal((await makers().delete().eq('name', 'Batch')).status, 204)
})

test('a lost update is refused', async () => {
  await rows(makers().insert({ id: 70, name: 'Seventy' }))
  const headers = { Authorization: `Bearer ${process.env.SERVICE_KEY}`, Prefer: 'etag' }
  const tag = (await fetch(`${process.env.MONOHULL_URL}/rest/v1/makers?id=eq.70`, { headers })).headers.get('etag')
  const change = (name) => makers().update({ name }).eq('id', 70).setHeader('If-Match', tag)
  equal((await change('First')).status, 204)
  const lost = await change('Second')
  equal([lost.status, lost.error.code], [412, 'MH114'])
  equal((await makers().delete().eq('id', 70).select('name').single()).data, { name: 'First' })
})

test('a tree in one request', async () => {
  const tree = { name: 'Tree', goods: [{ name: 'leaf', price: 2 }, { name: 'twig', about: { kind: 'wood' } }] }
  const nested = (wish) => ['Prefer', `nested=${wish}`]
  const made = await makers().insert(tree).setHeader(...nested('insert')).select('id,name,goods(id,name,price,about)').single()
  equal([made.status, made.error], [201, null])
  equal(made.data.goods.map(({ name, price, about }) => [name, price, about]), [['leaf', 2, null], ['twig', 1.5, { kind: 'wood' }]])
  // a list: the client says in columns= which keys there are, the nested ones among them
  const many = await makers().insert([{ name: 'Two', goods: [] }, { name: 'Three', goods: [{ name: 'x' }] }]).setHeader(...nested('insert')).select('name,goods(name)')
  equal(many.data, [{ name: 'Two', goods: [] }, { name: 'Three', goods: [{ name: 'x' }] }])
  // parents too, by the alias of select
  const up = await goods().insert({ name: 'y', by: { name: 'Four' } }).setHeader(...nested('insert')).select('name,by:makers(name)').single()
  equal(up.data, { name: 'y', by: { name: 'Four' } })
  // what was read goes back, changed
  const read = made.data
  read.goods[0].price = 3
  const merged = await makers().upsert(read).setHeader('Prefer', 'resolution=merge-duplicates, nested=upsert').select('id,goods(name,price)').single()
  equal([merged.status, merged.data], [200, { id: read.id, goods: [{ name: 'leaf', price: 3 }, { name: 'twig', price: 1.5 }] }])
  // a client that always nests; what has nothing below it is written as ever
  equal(await rows(nesting.from('makers').insert({ name: 'Six', goods: [{ name: 'g' }] }).select('name,goods(name)')), [{ name: 'Six', goods: [{ name: 'g' }] }])
  equal(await rows(nesting.from('makers').upsert({ name: 'Six', since: '2026-02-02' }, { onConflict: 'name' }).select('since')), [{ since: '2026-02-02' }])
  const refused = await makers().insert({ name: 'Five', goods: [{ name: 'a' }, { name: 'b', price: 'dear' }] }).setHeader(...nested('insert')).select()
  equal([refused.status, refused.error.code, refused.error.path], [400, '22P02', '/goods/1'])
  equal((await makers().insert(tree)).error.code, 'PGRST204')
  equal(await rows(makers().select('id').eq('name', 'Five')), [])
  equal((await goods().delete().gte('id', 100)).status, 204)
  equal((await makers().delete().gte('id', 100)).status, 204)
})
