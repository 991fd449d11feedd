// Auth with the official client, unmodified, and with the mails that arrive.
import assert from 'node:assert/strict'
import { createHash, createHmac, generateKeyPairSync, randomBytes, randomUUID, sign } from 'node:crypto'
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

test('single sign-on', async () => {
  const { auth } = client()
  equal((await auth.signInWithSSO({ domain: 'nowhere.example' })).error.code, 'sso_provider_not_found')
  const service = { authorization: `Bearer ${process.env.SERVICE_KEY}`, 'content-type': 'application/json' }
  const made = await fetch(`${url}/auth/v1/admin/sso/providers`, {
    method: 'POST', headers: service, body: JSON.stringify({ type: 'saml', metadata_xml: process.env.SAML_METADATA, domains: ['corp.example'] }),
  })
  equal(made.status, 201)
  const { id: providerId } = await made.json()
  // The identity provider answers with the form that its page would have a browser post.
  const travel = async (target) => {
    assert.ok(new URL(target).searchParams.get('SAMLRequest'))
    const form = await (await fetch(target)).json()
    const answer = await fetch(`${url}/auth/v1/sso/saml/acs`, { method: 'POST', body: new URLSearchParams(form), redirect: 'manual' })
    equal(answer.status, 303)
    return new URL(answer.headers.get('location'))
  }
  const home = 'http://127.0.0.1:3000/home'
  const end = await travel(ok(await auth.signInWithSSO({ domain: 'corp.example', options: { redirectTo: home } })).url)
  equal(end.origin + end.pathname, home)
  const fragment = new URLSearchParams(end.hash.slice(1))
  ok(await auth.setSession({ access_token: fragment.get('access_token'), refresh_token: fragment.get('refresh_token') }))
  const { user } = ok(await auth.getUser())
  equal([user.email, user.app_metadata.provider], ['ada@corp.example', `sso:${providerId}`])
  equal(ok(await auth.getClaims()).claims.amr[0].method, 'sso/saml')
  const later = client({ flowType: 'pkce' })
  const code = (await travel(ok(await later.auth.signInWithSSO({ providerId })).url)).searchParams.get('code')
  equal(ok(await later.auth.exchangeCodeForSession(code)).user.id, user.id)
  equal((await later.auth.updateUser({ password: 'another-horse' })).error.code, 'user_sso_managed')
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

const totp = (secret, step = 0) => {
  const bits = [...secret].map((c) => 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'.indexOf(c).toString(2).padStart(5, '0')).join('')
  const key = Buffer.from(bits.match(/.{8}/g).map((byte) => parseInt(byte, 2)))
  const counter = Buffer.alloc(8)
  counter.writeUInt32BE(Math.floor(Date.now() / 30000) + step, 4)
  const mac = createHmac('sha1', key).update(counter).digest()
  return String((mac.readUInt32BE(mac[19] & 15) & 0x7fffffff) % 1e6).padStart(6, '0')
}
const level = async (auth) => ok(await auth.mfa.getAuthenticatorAssuranceLevel())

test('a second factor by an authenticator app', async () => {
  const { auth, email } = await signedUp()
  const { id, type, totp: app } = ok(await auth.mfa.enroll({ factorType: 'totp', friendlyName: 'phone', issuer: 'Shop' }))
  equal([type, app.qr_code.startsWith('data:image/svg+xml;utf-8,<svg')], ['totp', true])
  assert.ok(app.uri.startsWith(`otpauth://totp/Shop:`))
  equal((await auth.mfa.enroll({ factorType: 'totp', friendlyName: 'phone' })).error.code, 'mfa_factor_name_conflict')
  const { id: challengeId } = ok(await auth.mfa.challenge({ factorId: id }))
  equal((await auth.mfa.verify({ factorId: id, challengeId, code: '12345' })).error.code, 'mfa_verification_failed')
  equal((await level(auth)).nextLevel, 'aal1')
  ok(await auth.mfa.verify({ factorId: id, challengeId, code: totp(app.secret, -1) }))
  equal((await level(auth)).currentLevel, 'aal2')
  const later = client().auth
  ok(await later.signInWithPassword({ email, password }))
  const before = await level(later)
  equal([before.currentLevel, before.nextLevel], ['aal1', 'aal2'])
  equal((await later.updateUser({ password: 'another-horse' })).error.code, 'insufficient_aal')
  ok(await later.mfa.challengeAndVerify({ factorId: id, code: totp(app.secret, 1) }))
  ok(await later.refreshSession())
  equal((await level(later)).currentAuthenticationMethods.map(({ method }) => method), ['totp', 'password'])
  ok(await later.updateUser({ password: 'another-horse' }))
  const factors = ok(await later.mfa.listFactors())
  equal([factors.totp.map((factor) => factor.id), factors.phone], [[id], []])
  ok(await later.mfa.unenroll({ factorId: id }))
  ok(await later.refreshSession())
  equal((await level(later)).currentLevel, 'aal1')
})

test('recovery codes and administration of factors', async () => {
  const { auth, email } = await signedUp()
  const { id, totp: app } = ok(await auth.mfa.enroll({ factorType: 'totp' }))
  ok(await auth.mfa.challengeAndVerify({ factorId: id, code: totp(app.secret) }))
  const { access_token, refresh_token } = ok(await auth.getSession()).session
  const strong = client({ experimental: { recoveryCodes: true } }).auth
  ok(await strong.setSession({ access_token, refresh_token }))
  const { codes } = ok(await strong.mfa.recoveryCodes.generate())
  const weak = client({ experimental: { recoveryCodes: true } }).auth
  ok(await weak.signInWithPassword({ email, password }))
  ok(await weak.mfa.recoveryCodes.verify({ code: codes[0].toUpperCase() }))
  equal((await level(weak)).currentLevel, 'aal2')
  equal(ok(await weak.mfa.recoveryCodes.getStatus()).remaining, 9)
  equal(ok(await weak.mfa.recoveryCodes.regenerate()).codes.length, 10)
  ok(await weak.mfa.recoveryCodes.unenroll())
  const userId = ok(await weak.getUser()).user.id
  equal(ok(await admin.mfa.listFactors({ userId })).factors.map((factor) => factor.id), [id])
  ok(await admin.mfa.deleteFactor({ userId, id }))
  equal(ok(await admin.mfa.listFactors({ userId })).factors, [])
})

test('a second factor by phone', async () => {
  const { auth } = await signedUp()
  const phone = newPhone()
  const { id } = ok(await auth.mfa.enroll({ factorType: 'phone', phone }))
  const { id: challengeId } = ok(await auth.mfa.challenge({ factorId: id, channel: 'sms' }))
  ok(await auth.mfa.verify({ factorId: id, challengeId, code: (await letter(phone)).code }))
  equal((await level(auth)).currentAuthenticationMethods[0].method, 'mfa/phone')
})

// An authenticator with one key: ES256, no attestation. CBOR by hand, it needs five maps and two strings.
const authenticator = () => {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const { x, y } = publicKey.export({ format: 'jwk' })
  const id = randomBytes(32)
  const b64 = (bytes) => Buffer.from(bytes).toString('base64url')
  const head = (flags, rpId) => Buffer.concat([createHash('sha256').update(rpId).digest(), Buffer.from([flags, 0, 0, 0, 0])])
  const said = (type, challenge) => Buffer.from(JSON.stringify({ type, challenge, origin: 'http://127.0.0.1:3000' }))
  const cose = Buffer.concat([Buffer.from('a5010203262001215820', 'hex'), Buffer.from(x, 'base64url'), Buffer.from('225820', 'hex'), Buffer.from(y, 'base64url')])
  const answer = (response) => ({ id: b64(id), rawId: b64(id), type: 'public-key', response, clientExtensionResults: {} })
  return {
    create: ({ challenge, rp }) => {
      const data = Buffer.concat([head(0x45, rp.id), Buffer.alloc(16), Buffer.from([0, 32]), id, cose])
      const object = Buffer.concat([Buffer.from('a363666d74646e6f6e656761747453746d74a068617574684461746158', 'hex'), Buffer.from([data.length]), data])
      return answer({ clientDataJSON: b64(said('webauthn.create', challenge)), attestationObject: b64(object) })
    },
    get: ({ challenge, rpId }) => {
      const [data, client] = [head(0x05, rpId), said('webauthn.get', challenge)]
      const signature = sign('sha256', Buffer.concat([data, createHash('sha256').update(client).digest()]), privateKey)
      return answer({ clientDataJSON: b64(client), authenticatorData: b64(data), signature: b64(signature) })
    },
  }
}

test('passkeys', async () => {
  const { email } = await signedUp()
  const { auth } = client({ experimental: { passkey: true } })
  const { user } = ok(await auth.signInWithPassword({ email, password }))
  const key = authenticator()
  const asked = ok(await auth.passkey.startRegistration())
  const made = ok(await auth.passkey.verifyRegistration({ challengeId: asked.challenge_id, credential: key.create(asked.options) }))
  ok(await auth.passkey.update({ passkeyId: made.id, friendlyName: 'laptop' }))
  equal(ok(await auth.passkey.list()).map(({ id, friendly_name }) => [id, friendly_name]), [[made.id, 'laptop']])
  const other = client({ experimental: { passkey: true } }).auth
  const { challenge_id: challengeId, options } = ok(await other.passkey.startAuthentication())
  const credential = key.get(options)
  equal(ok(await other.passkey.verifyAuthentication({ challengeId, credential })).user.id, user.id)
  equal((await other.passkey.verifyAuthentication({ challengeId, credential })).error.code, 'webauthn_challenge_not_found')
  ok({ data: null, ...(await other.passkey.delete({ passkeyId: made.id })) })
  equal(ok(await auth.passkey.list()), [])
  const again = ok(await auth.passkey.startRegistration())
  const next = ok(await auth.passkey.verifyRegistration({ challengeId: again.challenge_id, credential: authenticator().create(again.options) }))
  const keeper = client({ persistSession: false, experimental: { passkey: true } }, process.env.SERVICE_KEY).auth.admin
  equal(ok(await keeper.passkey.listPasskeys({ userId: user.id })).map(({ id }) => id), [next.id])
  ok({ data: null, ...(await keeper.passkey.deletePasskey({ userId: user.id, passkeyId: next.id })) })
  equal(ok(await keeper.passkey.listPasskeys({ userId: user.id })), [])
})

test('other applications sign their users in', async () => {
  const { oauth } = admin
  const redirect_uri = 'https://shop.example.net/callback'
  const made = ok(await oauth.createClient({ client_name: 'Shop', redirect_uris: [redirect_uri] }))
  equal([made.client_type, made.registration_type, made.response_types], ['confidential', 'manual', ['code']])
  const { client_secret, ...shown } = made
  equal(ok(await oauth.getClient(made.client_id)), shown)
  equal(ok(await oauth.updateClient(made.client_id, { client_name: 'Market' })).client_name, 'Market')
  const renewed = ok(await oauth.regenerateClientSecret(made.client_id))
  assert.notEqual(renewed.client_secret, client_secret)
  assert.ok(ok(await oauth.listClients()).clients.some(({ client_id }) => client_id === made.client_id))
  equal((await oauth.getClient(randomUUID())).error.code, 'oauth_client_not_found')

  const { auth, email } = await signedUp()
  const verifier = `${randomUUID()}${randomUUID()}`
  const code_challenge = createHash('sha256').update(verifier).digest('base64url')
  const asked = async () => {
    const query = new URLSearchParams({
      client_id: made.client_id, redirect_uri, response_type: 'code', scope: 'openid email', state: 's', code_challenge, code_challenge_method: 'S256',
    })
    const page = await follow(`${url}/auth/v1/oauth/authorize?${query}`)
    equal(`${page.origin}${page.pathname}`, 'http://127.0.0.1:3000/oauth/consent')
    return page.searchParams.get('authorization_id')
  }
  const denied = new URL(ok(await auth.oauth.denyAuthorization(await asked())).redirect_url)
  equal(denied.searchParams.get('error'), 'access_denied')
  const id = await asked()
  const details = ok(await auth.oauth.getAuthorizationDetails(id))
  equal([details.client.name, details.user.email, details.scope, details.redirect_uri], ['Market', email, 'openid email', redirect_uri])
  const back = new URL(ok(await auth.oauth.approveAuthorization(id)).redirect_url)
  equal(back.searchParams.get('state'), 's')
  const answer = await fetch(`${url}/auth/v1/oauth/token`, {
    method: 'POST',
    headers: { authorization: `Basic ${btoa(`${made.client_id}:${renewed.client_secret}`)}` },
    body: new URLSearchParams({ grant_type: 'authorization_code', code: back.searchParams.get('code'), code_verifier: verifier, redirect_uri }),
  })
  const tokens = await answer.json()
  equal(answer.status, 200)
  const { claims } = ok(await client().auth.getClaims(tokens.access_token))
  equal([claims.client_id, claims.scope, claims.email], [made.client_id, 'openid email', email])
  equal(ok(await client().auth.getUser(tokens.access_token)).user.email, email)
  assert.ok(ok(await auth.oauth.getAuthorizationDetails(await asked())).redirect_url)
  equal(ok(await auth.oauth.listGrants()).map(({ client, scopes }) => [client.id, scopes]), [[made.client_id, ['openid', 'email']]])
  ok(await auth.oauth.revokeGrant({ clientId: made.client_id }))
  assert.ok((await client().auth.getUser(tokens.access_token)).error)
  equal((await auth.oauth.getAuthorizationDetails('unknown')).error.code, 'oauth_authorization_not_found')
  equal((await oauth.deleteClient(made.client_id)).error, null)
})
