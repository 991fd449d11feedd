// The client by itself, without keys, against the settings that its authors keep to: what each of them answers.
// MAIN: autoconfirm, RS256. CONFIRMING: nothing is confirmed by itself. CLOSED: nobody signs up. SHARED: autoconfirm, HS256.
// ALONE: autoconfirm, keys that were given, and the routes at the root, as their own suites look for them.
import assert from 'node:assert/strict'
import { createHmac, randomBytes, randomUUID } from 'node:crypto'
import { test } from 'node:test'
import { GoTrueAdminApi, GoTrueClient } from '@supabase/supabase-js'

const equal = assert.deepEqual
const { MAIN, CONFIRMING, CLOSED, SHARED, ALONE, ALONE_KID, SERVICE_KEY, JWT_SECRET } = process.env
const password = 'correct-horse'

const storage = () => {
  const kept = new Map()
  return { getItem: (k) => kept.get(k) ?? null, setItem: (k, v) => void kept.set(k, v), removeItem: (k) => void kept.delete(k) }
}
const client = (url, options = {}) =>
  new GoTrueClient({ url: `${url}/auth/v1`, autoRefreshToken: false, detectSessionInUrl: false, persistSession: true, storage: storage(), ...options })
const administration = (url) => new GoTrueAdminApi({ url: `${url}/auth/v1`, headers: { Authorization: `Bearer ${SERVICE_KEY}` } })
const admin = administration(MAIN)

const newEmail = () => `${randomUUID()}@example.com`
const newPhone = () => `49${Math.floor(1e9 + Math.random() * 8e9)}`
const ok = ({ data, error }) => {
  if (error) throw error
  return data
}
// What a refusal says; `data` is empty then, whatever the call was.
const refused = ({ data, error }) => {
  assert.ok(error, 'it was not refused')
  for (const part of Object.values(data ?? {})) assert.ok(part == null || (Array.isArray(part) && !part.length), JSON.stringify(data))
  return [error.status, error.code, error.message]
}
const signedUp = async (url = MAIN) => {
  const auth = client(url)
  const email = newEmail()
  const { user, session } = ok(await auth.signUp({ email, password }))
  return { auth, email, user, session }
}
const base32 = (text) => {
  const bits = [...text].map((c) => 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'.indexOf(c).toString(2).padStart(5, '0')).join('')
  return Buffer.from(bits.match(/.{8}/g).map((byte) => parseInt(byte, 2)))
}
const totp = (secret) => {
  const counter = Buffer.alloc(8)
  counter.writeBigUInt64BE(BigInt(Math.floor(Date.now() / 30000)))
  const mac = createHmac('sha1', base32(secret)).update(counter).digest()
  return String((mac.readUInt32BE(mac[19] & 15) & 0x7fffffff) % 1e6).padStart(6, '0')
}

test('a new user, at once', async () => {
  const auth = client(MAIN)
  const email = newEmail()
  const { user, session } = ok(await auth.signUp({ email: email.toUpperCase(), password, options: { data: { status: 'alpha' } } }))
  equal([user.email, user.role, user.aud, user.phone, user.is_anonymous], [email, 'authenticated', 'authenticated', '', false])
  equal(user.app_metadata, { provider: 'email', providers: ['email'] })
  equal(user.user_metadata, { status: 'alpha', email_verified: true, ...pick(user.user_metadata, 'sub', 'email', 'phone_verified') })
  for (const name of ['created_at', 'updated_at', 'email_confirmed_at', 'confirmed_at', 'last_sign_in_at']) assert.ok(Date.parse(user[name]), name)
  equal([session.token_type, session.expires_in, typeof session.expires_at, session.user.id], ['bearer', 3600, 'number', user.id])
  assert.ok(session.refresh_token.length >= 12)
  const [identity] = user.identities
  equal([identity.provider, identity.id, identity.user_id, identity.identity_data.sub], ['email', user.id, user.id, user.id])
  equal(refused(await client(MAIN).signUp({ email, password })), [422, 'user_already_exists', 'User already registered'])
  equal(ok(await auth.getUser()).user.id, user.id)
  const { data } = await auth.getUserIdentities()
  equal(data.identities.map(({ identity_id }) => identity_id), [identity.identity_id])
})
const pick = (from, ...names) => Object.fromEntries(names.filter((name) => name in from).map((name) => [name, from[name]]))

test('passwords', async () => {
  const { email } = await signedUp()
  for (const wrong of [{ email, password: 'wrong-horse' }, { email: newEmail(), password }, { phone: newPhone(), password }])
    equal(refused(await client(MAIN).signInWithPassword(wrong)), [400, 'invalid_credentials', 'Invalid login credentials'])
  const weak = await client(MAIN).signUp({ email: newEmail(), password: '12345' })
  equal([weak.error.name, weak.error.status, weak.error.code, weak.error.reasons], ['AuthWeakPasswordError', 422, 'weak_password', ['length']])
  equal(weak.error.message, 'Password should be at least 6 characters.')
  equal(refused(await client(MAIN).signUp({ email: 'not an address', password })), [400, 'validation_failed', 'Unable to validate email address: invalid format'])
  equal(refused(await client(MAIN).signUp({ phone: '+abc', password })).slice(0, 2), [400, 'validation_failed'])
  const auth = client(MAIN)
  const { session, user } = ok(await auth.signInWithPassword({ email, password }))
  equal(user.email, session.user.email)
  equal(refused(await auth.updateUser({ password })), [422, 'same_password', 'New password should be different from the old password.'])
  ok(await auth.updateUser({ password: 'another-horse', data: { hello: 'world' } }))
  equal((await auth.getUser()).data.user.user_metadata.hello, 'world')
  ok(await client(MAIN).signInWithPassword({ email, password: 'another-horse' }))
})

test('sessions go on, once each', async () => {
  const { auth, session } = await signedUp()
  const { session: renewed, user } = ok(await auth.refreshSession())
  assert.notEqual(renewed.refresh_token, session.refresh_token)
  equal(user.id, session.user.id)
  const elsewhere = client(MAIN)
  const adopted = ok(await elsewhere.setSession(renewed))
  equal(adopted.session.access_token, renewed.access_token)
  const [one, two] = await Promise.all([elsewhere.refreshSession(renewed), elsewhere.refreshSession(renewed)])
  equal(ok(one).session.refresh_token, ok(two).session.refresh_token)
  equal(refused(await client(MAIN).refreshSession({ refresh_token: 'wrong' })).slice(0, 2), [400, 'refresh_token_not_found'])
  equal((await client(MAIN).setSession({ access_token: 'not.a.token', refresh_token: 'x' })).error.name, 'AuthInvalidJwtError')
  equal((await client(MAIN).getUser('not.a.token')).error.code, 'bad_jwt')
  equal((await client(MAIN).refreshSession()).error.name, 'AuthSessionMissingError')
})

test('signing out, in each scope', async () => {
  const { email, auth } = await signedUp()
  const others = [client(MAIN), client(MAIN)]
  for (const other of others) ok(await other.signInWithPassword({ email, password }))
  equal((await auth.signOut({ scope: 'others' })).error, null)
  for (const other of others) equal((await other.getUser()).error.name, 'AuthSessionMissingError')
  ok(await auth.getUser())
  equal((await auth.signOut({ scope: 'local' })).error, null)
  equal(ok(await auth.getSession()).session, null)
  const { session } = ok(await auth.signInWithPassword({ email, password }))
  equal((await admin.signOut(session.access_token)).error, null)
  equal((await client(MAIN).getUser(session.access_token)).error.name, 'AuthSessionMissingError')
  const { error } = await admin.signOut('this-is-a-bad-token')
  equal([error.status, error.message.startsWith('invalid JWT:')], [403, true])
})

test('claims are read without asking, where the key is public', async () => {
  const { session } = await signedUp()
  const asked = []
  const counting = (input, init) => (asked.push(String(input).replace(/.*auth\/v1/, '')), fetch(input, init))
  const auth = client(MAIN, { fetch: counting })
  const { claims, header } = ok(await auth.getClaims(session.access_token))
  equal([claims.email, claims.aal, claims.amr[0].method, header.alg], [session.user.email, 'aal1', 'password', 'RS256'])
  equal(asked, ['/.well-known/jwks.json'])
  const shared = await signedUp(SHARED)
  const asks = []
  const symmetric = client(SHARED, { fetch: (input, init) => (asks.push(String(input).replace(/.*auth\/v1/, '')), fetch(input, init)) })
  equal(ok(await symmetric.getClaims(shared.session.access_token)).claims.email, shared.email)
  equal(asks, ['/user'])
  const [head, body] = session.access_token.split('.')
  const forged = `${head}.${body}.${randomBytes(256).toString('base64url')}`
  equal((await auth.getClaims(forged)).error.name, 'AuthInvalidJwtError')
})

test('anonymous, and permanent by a new address', async () => {
  const auth = client(MAIN)
  const { user } = ok(await auth.signInAnonymously({ options: { data: { hello: 'world' } } }))
  equal([user.is_anonymous, user.user_metadata, user.app_metadata, user.identities, user.email], [true, { hello: 'world' }, {}, [], ''])
  const email = newEmail()
  const { user: permanent } = ok(await auth.updateUser({ email }))
  equal([permanent.id, permanent.email, permanent.is_anonymous], [user.id, email, false])
  ok(await auth.updateUser({ password }))
  equal(ok(await client(MAIN).signInWithPassword({ email, password })).user.id, user.id)
  equal(refused(await client(CONFIRMING).signInAnonymously()), [422, 'anonymous_provider_disabled', 'Anonymous sign-ins are disabled'])
})

test('codes and links', async () => {
  const auth = client(MAIN)
  const email = newEmail()
  const { user: nobody, session: none } = ok(await auth.signInWithOtp({ email }))
  equal([nobody, none], [null, null])
  equal(refused(await auth.signInWithOtp({ email: newEmail(), options: { shouldCreateUser: false } })).slice(0, 2), [422, 'otp_disabled'])
  equal(refused(await auth.signInWithOtp({ phone: newPhone() })).slice(0, 2), [422, 'sms_send_failed'])
  equal(ok(await auth.resetPasswordForEmail(newEmail(), { redirectTo: `${MAIN}/welcome` })), {})
  equal(ok(await auth.resend({ type: 'signup', email })).user, null)
  for (const wrong of [
    { email, token: '123456', type: 'email' }, { email, token: '123456', type: 'signup' }, { phone: newPhone(), token: '123456', type: 'sms' }, { token_hash: 'unknown', type: 'email' },
  ]) {
    const [status, code, message] = refused(await auth.verifyOtp(wrong))
    equal([status, code], [403, 'otp_expired'])
    equal(message, wrong.token_hash ? 'Email link is invalid or has expired' : 'Token has expired or is invalid')
  }
  equal(refused(await auth.verifyOtp({ phone: 'abc', token: '123456', type: 'sms' })), [400, 'validation_failed', 'Invalid phone number format (E.164 required)'])
  const { properties } = ok(await admin.generateLink({ type: 'magiclink', email }))
  const { session } = ok(await auth.verifyOtp({ token_hash: properties.hashed_token, type: 'email' }))
  equal([session.user.email, (await auth.getClaims()).data.claims.amr[0].method], [email, 'otp'])
  const code = ok(await admin.generateLink({ type: 'recovery', email })).properties.email_otp
  equal(ok(await client(MAIN).verifyOtp({ email, token: code, type: 'recovery' })).user.email, email)
})

test('a number that gets no message', async () => {
  const auth = client(MAIN)
  ok(await auth.signInWithOtp({ phone: '1234567890' }))
  const { user, session } = ok(await auth.verifyOtp({ phone: '+1234567890', token: '123456', type: 'sms' }))
  equal([user.phone, session.user.id, user.app_metadata.provider], ['1234567890', user.id, 'phone'])
  assert.ok(user.phone_confirmed_at)
})

test('what is confirmed by nobody', async () => {
  const auth = client(CONFIRMING)
  const email = newEmail()
  const { user, session } = ok(await auth.signUp({ email, password, options: { data: { status: 'alpha' } } }))
  equal([session, user.email, user.user_metadata, user.email_confirmed_at], [null, email, { status: 'alpha' }, undefined])
  assert.ok(Date.parse(user.confirmation_sent_at))
  equal(refused(await auth.signInWithPassword({ email, password })), [400, 'email_not_confirmed', 'Email not confirmed'])
  equal(refused(await auth.signUp({ phone: newPhone(), password })).slice(0, 2), [422, 'sms_send_failed'])
  equal(refused(await auth.verifyOtp({ email, token: '000000', type: 'signup' })).slice(0, 2), [403, 'otp_expired'])
  const resent = await Promise.all([1, 2, 3, 4].map(() => auth.resend({ type: 'signup', email }))) // within a second, on a slow machine too
  equal(refused(resent.find(({ error }) => error)).slice(0, 2), [429, 'over_email_send_rate_limit'])
})

test('nobody signs up where that is off', async () => {
  const auth = client(CLOSED)
  equal(refused(await auth.signUp({ email: newEmail(), password })), [422, 'signup_disabled', 'Signups not allowed for this instance'])
  equal(refused(await auth.signUp({ phone: newPhone(), password })), [422, 'signup_disabled', 'Signups not allowed for this instance'])
  equal(refused(await auth.signInWithOtp({ phone: newPhone() })).slice(0, 2), [400, 'phone_provider_disabled'])
  assert.ok(refused(await auth.signInWithPassword({ email: newEmail(), password })))
  const { user } = ok(await administration(CLOSED).createUser({ email: newEmail(), password, email_confirm: true }))
  assert.ok(user.email_confirmed_at)
})

test('what the settings leave out', async () => {
  const { auth } = await signedUp()
  const { error: unlinked } = await auth.linkIdentity({ provider: 'google' })
  equal([unlinked.status, unlinked.code, unlinked.message], [404, 'manual_linking_disabled', 'Manual linking is disabled'])
  const { data } = await auth.getUserIdentities()
  equal((await auth.unlinkIdentity(data.identities[0])).error.status, 404)
  equal(refused(await auth.signInWithSSO({ domain: 'corp.example' })), [404, 'saml_provider_disabled', 'SAML 2.0 is disabled'])
  for (const chain of ['ethereum', 'solana']) {
    const signature = chain === 'ethereum' ? `0x${'11'.repeat(65)}` : new Uint8Array(64)
    const { error } = await auth.signInWithWeb3({ chain, message: 'x', signature })
    equal([error.status, error.code, error.message], [422, 'web3_provider_disabled', 'Web3 provider is disabled'])
  }
  equal(refused(await auth.signInWithIdToken({ provider: 'google', token: 'bad' })), [400, 'validation_failed', 'Bad ID token'])
  const to = ok(await auth.signInWithOAuth({ provider: 'google', options: { skipBrowserRedirect: true, redirectTo: 'https://x.example' } }))
  equal([to.provider, new URL(to.url).pathname], ['google', '/auth/v1/authorize'])
  const unknown = await fetch(`${MAIN}/auth/v1/authorize?provider=github`, { redirect: 'manual' })
  equal([unknown.status, (await unknown.json()).msg], [400, 'Unsupported provider: provider is not enabled'])
})

test('administration', async () => {
  const [email, id] = [newEmail(), randomUUID()]
  const { user } = ok(await admin.createUser({ email, password, id, email_confirm: true, user_metadata: { a: 1 }, app_metadata: { roles: ['editor'] } }))
  equal([user.id, user.email, user.user_metadata.a, user.app_metadata], [id, email, 1, { provider: 'email', providers: ['email'], roles: ['editor'] }])
  equal(refused(await admin.createUser({ email, password })), [422, 'email_exists', 'A user with this email address has already been registered'])
  equal(ok(await admin.getUserById(id)).user.email, email)
  equal(refused(await admin.getUserById(randomUUID())), [404, 'user_not_found', 'User not found'])
  await assert.rejects(admin.getUserById('not a uuid'), /UUID/)
  const listed = ok(await admin.listUsers({ page: 1, perPage: 2 }))
  equal([listed.users.length, listed.aud, typeof listed.total, listed.nextPage], [2, 'authenticated', 'number', 2])
  const changed = ok(await admin.updateUserById(id, { email: newEmail(), user_metadata: { b: 2 }, ban_duration: '24h' })).user
  equal([changed.user_metadata.b, Date.parse(changed.banned_until) > Date.now()], [2, true])
  equal(refused(await client(MAIN).signInWithPassword({ email: changed.email, password })).slice(0, 2), [400, 'user_banned'])
  ok(await admin.updateUserById(id, { ban_duration: 'none' }))
  ok(await client(MAIN).signInWithPassword({ email: changed.email, password }))
  ok(await admin.deleteUser(id))
  equal(refused(await admin.getUserById(id)).slice(0, 2), [404, 'user_not_found'])
  const soft = ok(await admin.createUser({ email: newEmail(), password, email_confirm: true })).user
  ok(await admin.deleteUser(soft.id, true))
  const invited = ok(await admin.inviteUserByEmail(newEmail(), { redirectTo: 'http://127.0.0.1:3000/welcome', data: { a: 1 } })).user
  equal([Boolean(invited.invited_at), invited.user_metadata], [true, { a: 1 }])
  equal(refused(await admin.inviteUserByEmail('nonsense')).slice(0, 2), [400, 'validation_failed'])
  const { error } = await new GoTrueAdminApi({ url: `${MAIN}/auth/v1`, headers: {} }).listUsers()
  equal([error.status, error.code], [401, 'no_authorization'])
})

test('links that an administrator makes', async () => {
  const email = newEmail()
  const signup = ok(await admin.generateLink({ type: 'signup', email, password, options: { data: { status: 'alpha' }, redirectTo: 'http://127.0.0.1:3000/welcome' } }))
  equal([signup.user.email, signup.user.user_metadata, signup.user.new_email], [email, { status: 'alpha' }, undefined])
  equal(Object.keys(signup.properties).sort(), ['action_link', 'email_otp', 'hashed_token', 'redirect_to', 'verification_type'])
  equal([signup.properties.verification_type, signup.properties.redirect_to], ['signup', 'http://127.0.0.1:3000/welcome'])
  const action = new URL(signup.properties.action_link)
  equal([action.searchParams.get('type'), action.searchParams.get('token')], ['signup', signup.properties.hashed_token])
  const newer = newEmail()
  for (const type of ['email_change_current', 'email_change_new']) {
    const { properties, user } = ok(await admin.generateLink({ type, email, newEmail: newer }))
    equal([properties.verification_type, user.new_email], [type, newer])
    equal(new URL(properties.action_link).searchParams.get('type'), 'email_change')
  }
  equal(ok(await admin.generateLink({ type: 'recovery', email })).properties.verification_type, 'recovery')
  equal(ok(await admin.generateLink({ type: 'invite', email: newEmail() })).properties.verification_type, 'invite')
  equal(refused(await admin.generateLink({ type: 'recovery', email: newEmail() })).slice(0, 2), [404, 'user_not_found'])
})

test('second factors', async () => {
  const { auth, email } = await signedUp()
  const made = ok(await auth.mfa.enroll({ factorType: 'totp', friendlyName: 'app', issuer: 'x' }))
  equal([made.type, Object.keys(made.totp).sort()], ['totp', ['qr_code', 'secret', 'uri']])
  const phone = ok(await auth.mfa.enroll({ factorType: 'phone', phone: '+1234567890', friendlyName: 'phone' }))
  equal(phone.type, 'phone')
  const asked = ok(await auth.mfa.challenge({ factorId: made.id }))
  equal([asked.type, asked.expires_at > Date.now() / 1000], ['totp', true])
  equal(refused(await auth.mfa.verify({ factorId: made.id, challengeId: asked.id, code: '000000' })).slice(0, 2), [422, 'mfa_verification_failed'])
  equal(refused(await auth.mfa.challenge({ factorId: randomUUID() })).slice(0, 2), [404, 'mfa_factor_not_found'])
  const level = ok(await auth.mfa.getAuthenticatorAssuranceLevel())
  equal([level.currentLevel, level.nextLevel], ['aal1', 'aal1'])
  const strong = ok(await auth.mfa.verify({ factorId: made.id, challengeId: asked.id, code: totp(made.totp.secret) }))
  equal([strong.token_type, strong.user.email], ['bearer', email])
  const factors = ok(await auth.mfa.listFactors())
  equal([factors.totp.length, factors.totp[0].status, factors.all.length >= 1], [1, 'verified', true])
  equal(ok(await auth.mfa.getAuthenticatorAssuranceLevel()).currentLevel, 'aal2')
  equal(ok(await auth.mfa.unenroll({ factorId: made.id })).id, made.id)
  const key = ok(await auth.mfa.enroll({ factorType: 'webauthn', friendlyName: 'key' }))
  const options = ok(await auth.mfa.challenge({ factorId: key.id, webauthn: { rpId: 'localhost', rpOrigins: ['http://localhost:5173'] } }))
  equal(options.webauthn.type, 'create')
  await assert.rejects(admin.mfa.deleteFactor({ userId: 'x', id: 'y' }), /UUID/)
})

test('applications', async () => {
  const { oauth } = admin
  const made = ok(await oauth.createClient({ client_name: 'A', redirect_uris: ['https://example.com/callback'] }))
  equal([made.grant_types, made.response_types, made.client_type], [['authorization_code', 'refresh_token'], ['code'], 'confidential'])
  equal(ok(await oauth.updateClient(made.client_id, { redirect_uris: ['https://example.com/b'] })).client_name, 'A')
  assert.notEqual(ok(await oauth.regenerateClientSecret(made.client_id)).client_secret, made.client_secret)
  equal(ok(await oauth.listClients({ page: 1, perPage: 1 })).clients.length, 1)
  equal((await oauth.deleteClient(made.client_id)).error, null)
  assert.ok((await oauth.getClient(made.client_id)).error)
  const { auth } = await signedUp()
  equal(ok(await auth.oauth.listGrants()), [])
  assert.ok((await auth.oauth.getAuthorizationDetails(randomUUID())).error)
  assert.ok((await client(MAIN).oauth.getAuthorizationDetails(randomUUID())).error)
})

test('a proof key for the link', async () => {
  const auth = client(MAIN, { flowType: 'pkce' })
  const email = newEmail()
  ok(await auth.signUp({ email, password }))
  equal(ok(await auth.resetPasswordForEmail(email)), {})
  equal((await auth.exchangeCodeForSession('nobody')).error.status, 404)
  const { url } = ok(await auth.signInWithOAuth({ provider: 'google', options: { skipBrowserRedirect: true } }))
  equal([new URL(url).searchParams.get('code_challenge_method'), new URL(url).searchParams.get('code_challenge').length], ['s256', 43])
  const there = await fetch(url, { redirect: 'manual' })
  equal([there.status, new URL(there.headers.get('location')).host], [302, 'accounts.google.com'])
})

// What administrators of GoTrue carry in those suites: no expiry, and a subject that is no user.
const older = (claims) => {
  const [h, p] = [{ alg: 'HS256', typ: 'JWT' }, claims].map((part) => Buffer.from(JSON.stringify(part)).toString('base64url'))
  return `${h}.${p}.${createHmac('sha256', JWT_SECRET).update(`${h}.${p}`).digest('base64url')}`
}

test('keys', async () => {
  const { keys } = await (await fetch(`${MAIN}/auth/v1/.well-known/jwks.json`)).json()
  assert.ok(keys.length && keys.every(({ kty, alg, d }) => kty === 'RSA' && alg === 'RS256' && !d))
  const answer = await fetch(`${MAIN}/auth/v1/admin/users`, { headers: { Authorization: `Bearer ${older({ role: 'supabase_admin', iss: 'supabase' })}` } })
  equal(answer.status, 200)
})

test('a server that stands alone', async () => {
  const asked = []
  const counting = (input, init) => (asked.push(String(input).replace(ALONE, '')), fetch(input, init))
  const auth = new GoTrueClient({ url: ALONE, autoRefreshToken: false, persistSession: true, storage: storage(), fetch: counting })
  const [email, newer] = [newEmail(), newEmail()]
  const { session, user } = ok(await auth.signUp({ email, password }))
  const { claims, header } = ok(await auth.getClaims())
  equal([claims.sub, header.alg, header.kid], [user.id, 'RS256', ALONE_KID])
  equal(asked, ['/signup', '/.well-known/jwks.json'])
  const keeper = new GoTrueAdminApi({
    url: ALONE,
    headers: { Authorization: `Bearer ${older({ sub: '1234567890', role: 'supabase_admin', iat: Math.floor(Date.now() / 1000) })}` },
  })
  equal(ok(await keeper.updateUserById(user.id, { email: newer, email_confirm: true })).user.email, newer)
  assert.ok(ok(await keeper.listUsers()).users.some(({ id }) => id === user.id))
  equal((await keeper.signOut(session.access_token)).error, null)
  const { error } = await keeper.signOut('this-is-a-bad-token')
  equal([error.status, error.message], [
    403, 'invalid JWT: unable to parse or verify signature, token is malformed: token contains an invalid number of segments',
  ])
  const { error: gone } = await new GoTrueClient({ url: ALONE, storage: storage(), autoRefreshToken: false }).signInWithPassword({ email, password })
  equal([gone.status, gone.code], [400, 'invalid_credentials'])
})
