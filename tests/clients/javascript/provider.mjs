// A real OpenID provider on loopback, and a browser that signs in on its pages.
import Provider from 'oidc-provider'

export const clientId = 'monohull'
export const clientSecret = 'a secret of thirty-two characters'

export const startProvider = async (redirectUri) => {
  const people = new Map()
  const app = new Provider('http://127.0.0.1:0', {
    clients: [{ client_id: clientId, client_secret: clientSecret, redirect_uris: [redirectUri], token_endpoint_auth_method: 'client_secret_post' }],
    claims: { email: ['email', 'email_verified'], profile: ['name'] },
    cookies: { keys: ['only for tests'] },
    findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id, ...people.get(id) }) }),
  })
  const server = app.listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  const issuer = `http://127.0.0.1:${server.address().port}`
  app.issuer = issuer
  return { issuer, people, stop: () => server.close() }
}

// Follow a sign-in on the provider's pages as `login`, until it leads away from there.
export const signInAt = async (issuer, start, login) => {
  const cookies = new Map()
  const open = async (url, form) => {
    const cookie = [...cookies].map(([name, value]) => `${name}=${value}`).join('; ')
    const answer = await fetch(url, { method: form ? 'POST' : 'GET', body: form && new URLSearchParams(form), headers: { cookie }, redirect: 'manual' })
    for (const line of answer.headers.getSetCookie()) {
      const [name, value] = line.split(';')[0].split('=')
      cookies.set(name, value)
    }
    return answer
  }
  let url = new URL(start)
  for (let i = 0; i < 12 && url.origin === issuer; i++) {
    let answer = await open(url)
    if (answer.status === 200) {
      const prompt = (await answer.text()).match(/name="prompt" value="(\w+)"/)[1]
      answer = await open(url, prompt === 'login' ? { prompt, login, password: 'x' } : { prompt })
    }
    url = new URL(answer.headers.get('location'), url)
  }
  return url
}
