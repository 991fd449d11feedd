// Auth with the official client, unmodified, and with the mails that arrive.
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { test } from 'node:test'
import { createClient } from '@supabase/supabase-js'

const equal = assert.deepEqual
const url = process.env.MONOHULL_URL
const password = 'correct-horse'

const storage = () => {
  const kept = new Map()
  return { getItem: (k) => kept.get(k) ?? null, setItem: (k, v) => void kept.set(k, v), removeItem: (k) => void kept.delete(k) }
}
// Node.js 20 has no WebSocket, and the client asks for one even where nobody listens
const realtime = { transport: globalThis.WebSocket ?? class {} }
const client = (options = {}, key = process.env.ANON_KEY) =>
  createClient(url, key, { realtime, auth: { autoRefreshToken: false, detectSessionInUrl: false, storage: storage(), ...options } })
const admin = client({ persistSession: false }, process.env.SERVICE_KEY).auth.admin

const newEmail = () => `${randomUUID()}@example.com`
const newPhone = () => `49${Math.floor(1e9 + Math.random() * 8e9)}`
const ok = ({ data, error }) => {
  if (error) throw error
  return data
}
const letter = async (to, number = 1) => {
  for (let i = 0; i < 400; i++) {
    const { messages } = await (await fetch(`${url}/platform/v1/mailbox?to=${encodeURIComponent(to)}`)).json()
    if (messages.length >= number) return messages[0]
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  throw new Error(`${to} got no message ${number}`)
}
const follow = async (link) => new URL((await fetch(link.replace(/^https?:\/\/[^/]+/, url), { redirect: 'manual' })).headers.get('location'))
const token = (link) => new URL(link).searchParams.get('token')

const signedUp = async () => {
  const email = newEmail()
  const { auth } = client()
  ok(await auth.signUp({ email, password }))
  await follow((await letter(email)).link)
  ok(await auth.signInWithPassword({ email, password }))
  return { auth, email }
}

test('a sign-up is confirmed by its link', async () => {
  const { auth } = client()
  const email = newEmail()
  const { user, session } = ok(await auth.signUp({ email, password, options: { data: { name: 'Ada' } } }))
  equal([session, user.email, user.user_metadata], [null, email, { name: 'Ada' }])
  equal((await auth.signInWithPassword({ email, password })).error.code, 'email_not_confirmed')
  const target = await follow((await letter(email)).link)
  const fragment = new URLSearchParams(target.hash.slice(1))
  equal(fragment.get('type'), 'signup')
  ok(await auth.setSession({ access_token: fragment.get('access_token'), refresh_token: fragment.get('refresh_token') }))
  equal(ok(await auth.getUser()).user.id, user.id)
  equal(ok(await auth.getClaims()).claims.email, email)
  const repeated = ok(await client().auth.signUp({ email, password }))
  equal([repeated.session, repeated.user.identities], [null, []])
})

test('PKCE', async () => {
  const { auth } = client({ flowType: 'pkce' })
  const email = newEmail()
  ok(await auth.signUp({ email, password, options: { emailRedirectTo: 'http://127.0.0.1:3000/welcome' } }))
  const target = await follow((await letter(email)).link)
  equal([target.pathname, target.hash], ['/welcome', ''])
  const { session } = ok(await auth.exchangeCodeForSession(target.searchParams.get('code')))
  equal(session.user.email, email)
  ok(await auth.signOut())
  ok(await auth.resetPasswordForEmail(email))
  const back = await follow((await letter(email, 2)).link)
  equal(ok(await auth.exchangeCodeForSession(back.searchParams.get('code'))).session.user.email, email)
  assert.ok((await auth.exchangeCodeForSession(back.searchParams.get('code'))).error)
})

test('links and codes to sign in with', async () => {
  const { auth } = client()
  const email = newEmail()
  ok(await auth.signInWithOtp({ email }))
  const { code } = await letter(email)
  equal((await auth.verifyOtp({ email, token: '000000x', type: 'email' })).error.code, 'otp_expired')
  equal(ok(await auth.verifyOtp({ email, token: code, type: 'email' })).user.email, email)
  ok(await auth.signInWithOtp({ email }))
  equal(ok(await auth.verifyOtp({ token_hash: token((await letter(email, 2)).link), type: 'magiclink' })).user.email, email)
  equal((await auth.signInWithOtp({ email: newEmail(), options: { shouldCreateUser: false } })).error.code, 'otp_disabled')
})

test('codes by phone', async () => {
  const { auth } = client()
  const phone = newPhone()
  assert.ok(ok(await auth.signInWithOtp({ phone })).messageId)
  equal(ok(await auth.verifyOtp({ phone, token: (await letter(phone)).code, type: 'sms' })).user.phone, phone)
  const other = newPhone()
  ok(await auth.signUp({ phone: other, password }))
  ok(await auth.resend({ type: 'sms', phone: other }))
  ok(await auth.verifyOtp({ phone: other, token: (await letter(other, 2)).code, type: 'sms' }))
  equal(ok(await auth.signInWithPassword({ phone: other, password })).user.phone, other)
})

test('recovery and a new password', async () => {
  const { email } = await signedUp()
  const { auth } = client()
  ok(await auth.resetPasswordForEmail(email))
  ok(await auth.verifyOtp({ token_hash: token((await letter(email, 2)).link), type: 'recovery' }))
  equal((await auth.updateUser({ password })).error.code, 'same_password')
  ok(await auth.updateUser({ password: 'another-horse' }))
  ok(await client().auth.signInWithPassword({ email, password: 'another-horse' }))
})

test('a new address takes both', async () => {
  const { auth, email } = await signedUp()
  const next = newEmail()
  equal(ok(await auth.updateUser({ email: next })).user.new_email, next)
  const first = ok(await client().auth.verifyOtp({ email, token: (await letter(email, 2)).code, type: 'email_change' }))
  equal(first.session, null)
  equal(ok(await auth.verifyOtp({ email: next, token: (await letter(next)).code, type: 'email_change' })).user.email, next)
})

test('anonymous users become permanent', async () => {
  const { auth } = client()
  const { user } = ok(await auth.signInAnonymously({ options: { data: { cart: 3 } } }))
  equal(user.is_anonymous, true)
  const email = newEmail()
  ok(await auth.updateUser({ email }))
  const after = ok(await auth.verifyOtp({ email, token: (await letter(email)).code, type: 'email_change' })).user
  equal([after.id, after.is_anonymous, after.email], [user.id, false, email])
  ok(await auth.updateUser({ password }))
  ok(await client().auth.signInWithPassword({ email, password }))
})

test('reauthentication', async () => {
  const { auth, email } = await signedUp()
  ok(await auth.reauthenticate())
  const { code } = await letter(email, 2)
  ok(await auth.updateUser({ password: 'another-horse', nonce: code }))
})

test('administration', async () => {
  const email = newEmail()
  const { user } = ok(await admin.createUser({ email, password, email_confirm: true, app_metadata: { plan: 'free' } }))
  equal(ok(await admin.getUserById(user.id)).user.email, email)
  equal(ok(await admin.updateUserById(user.id, { user_metadata: { a: 1 } })).user.user_metadata.a, 1)
  const page = ok(await admin.listUsers({ page: 1, perPage: 1 }))
  equal([page.users.length, page.nextPage, page.aud], [1, 2, 'authenticated'])
  assert.ok(page.total >= 2)
  const { session } = ok(await client().auth.signInWithPassword({ email, password }))
  ok({ data: null, ...(await admin.signOut(session.access_token)) })
  equal((await client().auth.getUser(session.access_token)).error.name, 'AuthSessionMissingError')
  const link = ok(await admin.generateLink({ type: 'magiclink', email }))
  equal([link.user.id, link.properties.verification_type], [user.id, 'magiclink'])
  ok(await client().auth.verifyOtp({ token_hash: link.properties.hashed_token, type: 'magiclink' }))
  ok(await admin.updateUserById(user.id, { ban_duration: '1h' }))
  equal((await client().auth.signInWithPassword({ email, password })).error.code, 'user_banned')
  const guest = newEmail()
  assert.ok(ok(await admin.inviteUserByEmail(guest, { data: { team: 7 } })).user.invited_at)
  ok(await client().auth.verifyOtp({ token_hash: token((await letter(guest)).link), type: 'invite' }))
  ok(await admin.deleteUser(user.id))
  equal((await admin.getUserById(user.id)).error.code, 'user_not_found')
  equal((await client().auth.admin.listUsers()).error.code, 'not_admin')
})
