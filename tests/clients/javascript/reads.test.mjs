// Reads with the official client, unmodified.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ada, anon, ids, rows, service } from './client.mjs'

const goods = (columns = 'id') => anon.from('goods').select(columns)
const equal = assert.deepEqual

test('comparisons', async () => {
  equal(await ids(goods().eq('id', 2)), [2])
  equal(await ids(goods().neq('id', 2).order('id')), [1, 3, 4])
  equal(await ids(goods().gt('price', 4.5).order('id')), [3, 4])
  equal(await ids(goods().gte('price', 4.5).lt('price', 30).order('id')), [1, 3])
  equal(await ids(goods().lte('price', 1)), [2])
  equal(await ids(goods().in('name', ['iron hook', 'crate, (big)', 'lamp "bright"']).order('id')), [2, 3, 4])
  equal(await ids(goods().is('about', null)), [3])
  equal(await ids(goods().not('maker_id', 'is', null).order('id')), [1, 2, 3])
  equal(await ids(goods().match({ maker_id: 1, name: 'iron hook' })), [2])
  equal(await ids(goods().filter('name', 'imatch', '^ROPE')), [1])
})

test('patterns, sets and ranges', async () => {
  equal(await ids(goods().like('name', '%o%').order('id')), [1, 2])
  equal(await ids(goods().ilike('name', 'IRON%')), [2])
  equal(await ids(goods().likeAnyOf('name', ['rope%', '%hook']).order('id')), [1, 2])
  equal(await ids(goods().ilikeAllOf('name', ['%O%', '%HOOK'])), [2])
  equal(await ids(goods().contains('tags', ['brown']).order('id')), [1, 4])
  equal(await ids(goods().containedBy('tags', ['short', 'x']).order('id')), [2, 3])
  equal(await ids(goods().overlaps('tags', ['long', 'short']).order('id')), [1, 2])
  equal(await ids(goods().contains('about', { kind: 'hook' })), [2])
  equal(await ids(goods().rangeGt('stock', '[1,4)')), [2])
  equal(await ids(goods().rangeLt('stock', '[10,30)')), [1])
  equal(await ids(goods().rangeAdjacent('stock', '[20,30)')), [2])
  equal(await ids(goods().textSearch('name', `'rope' | 'hook'`, { config: 'english' }).order('id')), [1, 2])
  equal(await ids(goods().textSearch('name', 'iron hook', { type: 'websearch' })), [2])
})

test('and, or, JSON paths, casts, aliases', async () => {
  equal(await ids(goods().or('id.eq.1,and(price.gt.10,price.lt.20)').order('id')), [1, 3])
  equal(await ids(goods().or('id.eq.1,name.eq."crate, (big)"').order('id')), [1, 3])
  equal(await ids(goods().eq('about->>kind', 'rope')), [1])
  equal(await rows(goods('no:id::text,about->size->m').eq('id', 1)), [{ no: '1', m: 10 }])
})

test('embedding', async () => {
  equal(await rows(goods('id,makers(name)').eq('id', 3)), [{ id: 3, makers: { name: 'Grace' } }])
  equal(await rows(goods('id,makers(name)').eq('id', 4)), [{ id: 4, makers: null }])
  equal(await ids(goods('id,makers!inner(name)').eq('makers.name', 'Ada').order('id')), [1, 2])
  const makers = anon.from('makers').select('name,goods(id)').order('id', { referencedTable: 'goods', ascending: false })
  equal(await rows(makers.limit(1, { referencedTable: 'goods' }).order('id')), [
    { name: 'Ada', goods: [{ id: 2 }] }, { name: 'Grace', goods: [{ id: 3 }] }, { name: 'Nobody', goods: [] },
  ])
  equal(await rows(service.from('shops').select('city,goods(name)').eq('id', 2)), [{ city: 'Oslo', goods: [{ name: 'rope of hemp' }] }])
  equal(await rows(goods('id,...makers(maker:name)').eq('id', 1)), [{ id: 1, maker: 'Ada' }])
  equal(await rows(anon.from('makers').select('name,goods(count)').eq('id', 1)), [{ name: 'Ada', goods: [{ count: 2 }] }])
  equal(await rows(goods('price.sum(),maker_id').eq('maker_id', 1)), [{ sum: 5.25, maker_id: 1 }])
})

test('pages and counts', async () => {
  const page = await goods().order('id').range(1, 2)
  equal([page.status, page.data, page.count], [200, [{ id: 2 }, { id: 3 }], null])
  const counted = await anon.from('goods').select('id', { count: 'exact' }).order('id').limit(1)
  equal([counted.status, counted.statusText, counted.count], [206, 'Partial Content', 4])
  const head = await anon.from('goods').select('*', { count: 'exact', head: true })
  equal([head.status, head.data, head.count], [200, null, 4])
  equal((await anon.from('goods').select('id', { count: 'estimated' })).count, 4)
  equal(typeof (await anon.from('goods').select('id', { count: 'planned' })).count, 'number')
  equal((await anon.from('goods').select('id', { count: 'exact' }).range(9, 10)).error.code, 'PGRST103')
})

test('shapes', async () => {
  equal(await rows(goods('name').eq('id', 2).single()), { name: 'iron hook' })
  const many = await goods().single()
  equal([many.status, many.statusText, many.error.code], [406, 'Not Acceptable', 'PGRST116'])
  equal((await goods().eq('id', 99).maybeSingle()).data, null)
  equal((await goods().eq('id', 1).maybeSingle()).data, { id: 1 })
  equal(await rows(goods('id,name').lt('id', 4).order('id').csv()), 'id,name\n1,"rope of hemp"\n2,"iron hook"\n3,"crate, (big)"')
  equal(await rows(goods('id,about').eq('id', 3).stripNulls()), [{ id: 3 }])
})

test('refusals', async () => {
  const missing = await anon.from('goodss').select('*')
  equal([missing.status, missing.error.code, missing.error.hint], [404, 'PGRST205', "Perhaps you meant the table 'public.goods'"])
  equal((await goods('nothing')).error.code, '42703')
  equal((await anon.schema('private').from('goods').select('*')).error.code, 'PGRST106')
  const none = await goods('id,nothing(id)')
  equal([none.status, none.error.code], [400, 'PGRST200'])
})

test('row security', async () => {
  equal(await rows(anon.from('shops').select('city')), [])
  equal(await rows(ada.from('shops').select('city')), [{ city: 'London' }])
  equal((await rows(service.from('shops').select('city'))).length, 2)
})

test('a request can be given up', async () => {
  const control = new AbortController()
  control.abort()
  assert.match((await goods().abortSignal(control.signal)).error.message, /abort/i)
})
