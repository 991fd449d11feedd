// Queues with the official client, unmodified, as Supabase's documentation calls them.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createClient } from '@supabase/supabase-js'

const equal = assert.deepEqual
const { MONOHULL_URL, ANON_KEY, SERVICE_KEY } = process.env
const realtime = { transport: globalThis.WebSocket ?? class {} }
const as = (key) => createClient(MONOHULL_URL, key, { realtime, auth: { persistSession: false } }).schema('pgmq_public')
const service = as(SERVICE_KEY)
const done = async (query) => {
  const { data, error } = await query
  if (error) throw new Error(`${error.code} ${error.message}`)
  return data
}
const queue_name = 'orders'

test('a message goes through', async () => {
  equal(await done(service.rpc('send', { queue_name, message: { n: 1 }, sleep_seconds: 0 })), [1])
  equal(await done(service.rpc('send_batch', { queue_name, messages: [{ n: 2 }, { n: 3 }], sleep_seconds: 0 })), [2, 3])
  const read = await done(service.rpc('read', { queue_name, sleep_seconds: 60, n: 2 }))
  equal(read.map(({ msg_id, read_ct, message }) => [msg_id, read_ct, message]), [[1, 1, { n: 1 }], [2, 1, { n: 2 }]])
  equal(Object.keys(read[0]), ['msg_id', 'read_ct', 'enqueued_at', 'vt', 'message'])
  assert.ok(new Date(read[0].vt) > new Date(read[0].enqueued_at))
  equal((await done(service.rpc('pop', { queue_name }))).map(({ message }) => message), [{ n: 3 }])
  equal(await done(service.rpc('archive', { queue_name, message_id: 1 })), true)
  equal(await done(service.rpc('delete', { queue_name, message_id: 2 })), true)
  equal(await done(service.rpc('pop', { queue_name })), [])
})

test('it is closed to others', async () => {
  const { error, status } = await as(ANON_KEY).rpc('send', { queue_name, message: {}, sleep_seconds: 0 })
  equal([status, error.code], [401, '42501'])
})
