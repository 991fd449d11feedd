// Sign-in with a provider by the official client, unmodified, and a real provider.
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, before, test } from 'node:test'
import { createClient } from '@supabase/supabase-js'
import { clientId, clientSecret, signInAt, startProvider } from './provider.mjs'

const equal = assert.deepEqual
const url = process.env.MONOHULL_URL
const back = 'http://127.0.0.1:3000/welcome'
const callback = 'http://127.0.0.1:8000/auth/v1/callback'
const identifier = `custom:${randomUUID().slice(0, 8)}`

const storage = () => {
  const kept = new Map()
  return { getItem: (k) => kept.get(k) ?? null, setItem: (k, v) => void kept.set(k, v), removeItem: (k) => void kept.delete(k) }
}
// Node.js 20 has no WebSocket, and the client asks for one even where nobody listens
const realtime = { transport: globalThis.WebSocket ?? class {} }
const client = (options = {}, key = process.env.ANON_KEY) =>
  createClient(url, key, { realtime, auth: { autoRefreshToken: false, detectSessionInUrl: false, storage: storage(), ...options } })
const admin = client({ persistSession: false }, process.env.SERVICE_KEY).auth.admin
const ok = ({ data, error }) => {
  if (error) throw error
  return data
}

let provider
before(async () => {
  provider = await startProvider(callback)
  const made = ok(
    await admin.customProviders.createProvider({
      provider_type: 'oidc',
      identifier,
      name: 'A real one',
      issuer: provider.issuer,
      client_id: clientId,
      client_secret: clientSecret,
      scopes: ['email', 'profile'],
    }),
  )
  equal([made.identifier, made.client_secret, made.discovery_document.issuer], [identifier, undefined, provider.issuer])
})
after(() => provider.stop())

const newcomer = (claims = {}) => {
  const login = randomUUID()
  provider.people.set(login, { email: `${login}@example.com`, email_verified: true, name: 'Ada', ...claims })
  return login
}
// Follow our redirect, the provider's pages, and our callback; return where the browser ends.
const travel = async (start, login) => {
  const first = start.startsWith(provider.issuer) ? start : (await fetch(start, { redirect: 'manual' })).headers.get('location')
  const home = await signInAt(provider.issuer, first, login)
  equal(home.origin + home.pathname, callback)
  const answer = await fetch(`${url}/auth/v1/callback${home.search}`, { redirect: 'manual' })
  equal(answer.status, 302)
  return new URL(answer.headers.get('location'))
}

test('signInWithOAuth and exchangeCodeForSession', async () => {
  const { auth } = client({ flowType: 'pkce' })
  const login = newcomer()
  const { url: start } = ok(await auth.signInWithOAuth({ provider: identifier, options: { redirectTo: back, skipBrowserRedirect: true } }))
  const end = await travel(start, login)
  equal([end.origin + end.pathname, end.hash], [back, ''])
  const { session, user } = ok(await auth.exchangeCodeForSession(end.searchParams.get('code')))
  equal([user.email, user.app_metadata.provider, user.user_metadata.name], [`${login}@example.com`, identifier, 'Ada'])
  assert.ok(session.provider_token)
  equal(ok(await auth.getUser()).user.identities[0].id, login)
  equal(ok(await auth.getClaims()).claims.amr[0].method, 'oauth')
})

test('signInWithOAuth with the session in the fragment', async () => {
  const { auth } = client()
  const login = newcomer()
  const { url: start } = ok(await auth.signInWithOAuth({ provider: identifier, options: { redirectTo: back, skipBrowserRedirect: true } }))
  const fragment = new URLSearchParams((await travel(start, login)).hash.slice(1))
  assert.ok(fragment.get('provider_token'))
  ok(await auth.setSession({ access_token: fragment.get('access_token'), refresh_token: fragment.get('refresh_token') }))
  equal(ok(await auth.getUser()).user.email, `${login}@example.com`)
})

test('linkIdentity and unlinkIdentity', async () => {
  const { auth } = client({ flowType: 'pkce' })
  const { user } = ok(await auth.signInAnonymously())
  const login = newcomer()
  const { url: start } = ok(await auth.linkIdentity({ provider: identifier, options: { redirectTo: back, skipBrowserRedirect: true } }))
  const end = await travel(start, login)
  const linked = ok(await auth.exchangeCodeForSession(end.searchParams.get('code'))).user
  equal([linked.id, linked.is_anonymous, linked.email], [user.id, false, `${login}@example.com`])
  const { identities } = ok(await auth.getUserIdentities())
  equal(identities.map((identity) => identity.provider), [identifier])
  equal((await auth.unlinkIdentity(identities[0])).error.code, 'single_identity_not_deletable')
})

test('an address that the provider does not vouch for', async () => {
  const { auth } = client({ flowType: 'pkce' })
  const login = newcomer({ email_verified: false })
  const { url: start } = ok(await auth.signInWithOAuth({ provider: identifier, options: { redirectTo: back, skipBrowserRedirect: true } }))
  const end = await travel(start, login)
  equal(end.searchParams.get('error_code'), 'provider_email_needs_verification')
  equal(new URLSearchParams(end.hash.slice(1)).get('error_code'), 'provider_email_needs_verification')
})

test('customProviders', async () => {
  const { providers } = ok(await admin.customProviders.listProviders())
  assert.ok(providers.some((row) => row.identifier === identifier))
  equal(ok(await admin.customProviders.getProvider(identifier)).name, 'A real one')
  equal(ok(await admin.customProviders.updateProvider(identifier, { name: 'Renamed' })).name, 'Renamed')
  equal((await client().auth.admin.customProviders.listProviders()).error.code, 'not_admin')
  const other = `${identifier}-other`
  ok(await admin.customProviders.createProvider({ provider_type: 'oidc', identifier: other, name: 'x', issuer: provider.issuer, client_id: 'x', client_secret: 'x' }))
  ok(await admin.customProviders.deleteProvider(other))
  equal((await admin.customProviders.getProvider(other)).error.code, 'custom_provider_not_found')
})
