// Passkeys and WebAuthn factors by the official client in a real browser; its authenticator is Chromium's own.
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { after, before, test } from 'node:test'
import { createClient } from '@supabase/supabase-js'
import puppeteer from 'puppeteer-core'

const equal = assert.deepEqual
const { MONOHULL_URL: url, ANON_KEY: anonKey, SERVICE_KEY: serviceKey, PAGE_PORT: port, CHROMIUM: chromium } = process.env
const password = 'correct-horse'
// Node.js 20 has no WebSocket, and the client asks for one even where nobody listens
const realtime = { transport: globalThis.WebSocket ?? class {} }
const { admin } = createClient(url, serviceKey, { realtime, auth: { persistSession: false, autoRefreshToken: false } }).auth
const bundle = new URL('node_modules/@supabase/supabase-js/dist/umd/supabase.js', import.meta.url)

let browser
let pages
before(async () => {
  const script = await readFile(bundle)
  pages = createServer((request, response) => {
    const isScript = request.url === '/supabase.js'
    response.writeHead(200, { 'content-type': isScript ? 'text/javascript' : 'text/html' })
    response.end(isScript ? script : '<!doctype html><title>An application</title><script src="/supabase.js"></script>')
  })
  await new Promise((resolve) => pages.listen(Number(port), 'localhost', resolve))
  const args = ['--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync']
  browser = await puppeteer.launch({ executablePath: chromium, args, protocolTimeout: 60_000 })
})
after(async () => {
  await browser?.close()
  pages?.close()
})

// An application in a browser of its own: `ask` runs there, with the client and what it is given.
const application = async (transport = 'internal') => {
  const context = await browser.createBrowserContext()
  const page = await context.newPage()
  await page.goto(`http://localhost:${port}/`)
  await page.evaluate(
    (url, key) => {
      window.auth = window.supabase.createClient(url, key, { auth: { experimental: { passkey: true, recoveryCodes: true } } }).auth
    },
    url,
    anonKey,
  )
  const session = await page.createCDPSession()
  await session.send('WebAuthn.enable')
  const options = { protocol: 'ctap2', transport, hasResidentKey: true, hasUserVerification: true, isUserVerified: true, automaticPresenceSimulation: true }
  const { authenticatorId } = await session.send('WebAuthn.addVirtualAuthenticator', { options })
  const ask = (what, ...given) =>
    // an error of the client's is no plain object
    page.evaluate(`(async () => {
      const { data, error } = await (${what})(...${JSON.stringify(given)})
      return { data, error: error && { code: error.code, message: error.message, status: error.status } }
    })()`)
  const keys = async () => (await session.send('WebAuthn.getCredentials', { authenticatorId })).credentials
  return { ask, keys, close: () => context.close() }
}
const ok = ({ data, error }) => {
  assert.equal(error, null, JSON.stringify(error))
  return data
}
const somebody = async () => {
  const email = `${randomUUID()}@example.com`
  const { data, error } = await admin.createUser({ email, password, email_confirm: true })
  if (error) throw error
  return { email, id: data.user.id }
}
const claims = (token) => JSON.parse(Buffer.from(token.split('.')[1], 'base64url'))

test('a passkey is made, signs in without a name or a password, and is taken away', async () => {
  const { email, id } = await somebody()
  const app = await application()
  ok(await app.ask('(given) => auth.signInWithPassword(given)', { email, password }))
  ok(await app.ask('() => auth.registerPasskey()'))
  const [key, ...more] = await app.keys()
  equal([key.rpId, key.isResidentCredential, more.length], ['localhost', true, 0])
  equal(Buffer.from(key.userHandle, 'base64').toString('hex'), id.replaceAll('-', ''))
  ok(await app.ask('() => auth.signOut().then((answer) => ({ data: null, ...answer }))'))
  const signedIn = ok(await app.ask('() => auth.signInWithPasskey()'))
  equal(signedIn.session.user.id, id)
  const [passkey] = ok(await app.ask('() => auth.passkey.list()'))
  ok(await app.ask('(given) => auth.passkey.delete(given)', { passkeyId: passkey.id }))
  const refused = await app.ask('() => auth.signInWithPasskey()')
  assert.ok(refused.error)
  await app.close()
})

test('a browser that has no key for this site signs nobody in', async () => {
  const app = await application()
  const { error } = await app.ask('() => auth.signInWithPasskey()')
  assert.ok(error, 'an authenticator without a key for this site has nothing to say')
  await app.close()
})

test('a security key is a second factor', async () => {
  const { email } = await somebody()
  const app = await application('usb') // the client asks for a key that can be carried about
  ok(await app.ask('(given) => auth.signInWithPassword(given)', { email, password }))
  ok(await app.ask('(given) => auth.mfa.webauthn.register(given)', { friendlyName: 'Laptop' }))
  equal((await app.keys()).length, 1)
  const { session } = ok(await app.ask('() => auth.getSession()'))
  equal(claims(session.access_token).aal, 'aal2')
  ok(await app.ask('(given) => auth.signInWithPassword(given)', { email, password }))
  const weak = ok(await app.ask('() => auth.mfa.getAuthenticatorAssuranceLevel()'))
  equal([weak.currentLevel, weak.nextLevel], ['aal1', 'aal2'])
  const { all } = ok(await app.ask('() => auth.mfa.listFactors()'))
  ok(await app.ask('(given) => auth.mfa.webauthn.authenticate(given)', { factorId: all[0].id }))
  const strong = ok(await app.ask('() => auth.getSession()'))
  equal(claims(strong.session.access_token).aal, 'aal2')
  equal(claims(strong.session.access_token).amr.map((entry) => entry.method).sort(), ['mfa/webauthn', 'password'])
  await app.close()
})
