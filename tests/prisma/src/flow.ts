// The marketplace's main flows, as browsers would go through them; each answer goes into the transcript.

import type { Transcript } from './transcript.ts'

export async function flow(origin: string, transcript: Transcript) {
  const ask = async (token: string | undefined, request: string, body?: object): Promise<any> => {
    const [method, path] = request.split(' ')
    const headers: Record<string, string> = token ? { authorization: `Bearer ${token}` } : {}
    const answer = await fetch(origin + path, { method, headers, body: body && JSON.stringify(body) })
    const text = await answer.text()
    transcript.add(`${request}${body ? ` ${JSON.stringify(body)}` : ''}\n${answer.status} ${text}\n`)
    return JSON.parse(text)
  }
  const title = (text: string) => transcript.add(`== ${text}\n`)
  const nobody = undefined

  title('accounts')
  const login = async (name: string, password = 'secret') =>
    ask(nobody, 'POST /api/auth/login', { email: `${name}@example.org`, password })
  const register = async (name: string, role: string) => {
    await ask(nobody, 'POST /api/auth/register', { email: `${name}@example.org`, password: 'secret', name, role })
    return login(name)
  }
  const anna = await register('anna', 'CUSTOMER')
  const builders = []
  for (const name of ['ben', 'cara', 'dora']) builders.push(await register(name, 'CONTRACTOR'))
  await ask(nobody, 'POST /api/auth/register', { email: 'anna@example.org', password: 'x', name: 'another' })
  await login('anna', 'wrong')
  await ask(anna.token, 'GET /api/auth/me')
  await ask(nobody, 'GET /api/auth/me')
  await ask(anna.token, 'POST /api/auth/refresh')

  title('the catalogue')
  for (const path of ['regions', 'pricing/categories', 'pricing/unit-prices?category=2', 'pricing/materials'])
    await ask(nobody, `GET /api/${path}`)
  for (const path of ['posts', 'posts/post-2', 'posts/nothing']) await ask(nobody, `GET /api/blog/${path}`)

  title('projects')
  const projects = []
  for (let n = 1; n <= 12; n++) {
    const data = {
      title: `Project ${n}, ${n % 2 ? 'Kitchen' : 'Bath'}`,
      description: 'x',
      regionId: 3 + (n % 3),
      categoryId: 1 + (n % 3),
    }
    const made = await ask(anna.token, 'POST /api/projects', {
      ...data,
      budget: 1000 * n,
      milestones: ['half', 'done'],
    })
    projects.push(made.id)
    if (n <= 10) await ask(anna.token, `POST /api/projects/${made.id}/publish`)
  }
  await ask(anna.token, `POST /api/projects/${projects[0]}/publish`)
  await ask(builders[0].token, 'POST /api/projects', {})
  await ask(anna.token, `PUT /api/projects/${projects[1]}`, { budget: 4321.5 })
  for (const query of [
    '',
    '?page=2',
    '?page=9',
    '?region=4',
    '?category=2&sort=budget',
    '?q=bath&min=2000&max=8000',
    '?status=DRAFT',
  ])
    await ask(nobody, `GET /api/projects${query}`)
  await ask(nobody, `GET /api/projects/${projects[2]}`)
  await ask(nobody, 'GET /api/projects/nothing')

  title('bids')
  const bids = []
  for (const [i, builder] of builders.entries())
    bids.push(
      await ask(builder.token, `POST /api/projects/${projects[2]}/bids`, { price: 2900 - 100 * i, message: 'Monday' }),
    )
  await ask(builders[0].token, `POST /api/projects/${projects[2]}/bids`, { price: 1, message: 'again' })
  await ask(builders[0].token, `POST /api/projects/${projects[3]}/bids`, { price: 1_000_000, message: 'too much' })
  await ask(builders[0].token, `POST /api/projects/${projects[11]}/bids`, { price: 1, message: 'a draft' })
  await ask(anna.token, `GET /api/projects/${projects[3]}/bids`)
  await ask(builders[1].token, `PATCH /api/bids/${bids[1].id}`, { price: 2500.75 })
  await ask(builders[1].token, `PATCH /api/bids/${bids[0].id}`, { price: 1 })
  await ask(anna.token, `GET /api/projects/${projects[2]}/bids`)
  await ask(anna.token, `POST /api/projects/${projects[2]}/messages`, { text: 'When?' })
  await ask(builders[1].token, `POST /api/projects/${projects[2]}/messages`, {
    text: 'Now. "Really"; it\'s /* not */ late --',
  })
  await ask(anna.token, `GET /api/projects/${projects[2]}/messages`)
  await ask(anna.token, `POST /api/bids/${bids[1].id}/accept`)
  await ask(builders[2].token, `POST /api/projects/${projects[2]}/bids`, { price: 1, message: 'late' })
  await ask(anna.token, `POST /api/projects/${projects[2]}/complete`)
  await ask(nobody, `GET /api/projects/${projects[2]}`)

  title('reviews and rankings')
  const review = { projectId: projects[2], contractorId: builders[1].userId }
  for (const rating of [5, 4, 5, 3])
    await ask(anna.token, 'POST /api/reviews', { ...review, rating, comment: `${rating} stars` })
  await ask(anna.token, 'POST /api/reviews', { ...review, projectId: projects[4], rating: 1, comment: 'never seen' })
  for (const path of [`reviews/contractors/${builders[1].userId}`, `reviews/contractors/${builders[1].userId}?page=2`])
    await ask(nobody, `GET /api/${path}`)
  for (const path of ['rankings', 'rankings/featured']) await ask(nobody, `GET /api/${path}`)

  title('notifications')
  await ask(anna.token, 'GET /api/notifications')
  await ask(anna.token, 'POST /api/notifications/read')
  await ask(anna.token, 'GET /api/notifications')
  for (const builder of builders) await ask(builder.token, 'GET /api/notifications')

  title('administration')
  const admin = await login('admin')
  await ask(anna.token, 'GET /api/admin/dashboard')
  for (const path of [
    'dashboard',
    'users',
    'users?after=anna@example.org',
    'users?q=or',
    'audit',
    'audit?event=BID_CREATED',
  ])
    await ask(admin.token, `GET /api/admin/${path}`)
  await ask(admin.token, 'POST /api/admin/jobs')
  await ask(admin.token, 'POST /api/admin/jobs')
  await ask(anna.token, 'GET /api/notifications')

  title('many at once')
  const at = ['projects', 'rankings', 'regions', `reviews/contractors/${builders[1].userId}`, 'blog/posts']
  const answers = await Promise.all(
    Array.from({ length: 40 }, async (_, i) => (await fetch(`${origin}/api/${at[i % 5]}`)).text()),
  )
  answers.forEach((answer, i) => transcript.add(`${at[i % 5]} ${answer}`))

  title('the end')
  await ask(admin.token, `POST /api/admin/users/${builders[2].userId}/deactivate`)
  await ask(builders[2].token, 'GET /api/auth/me')
  await login('dora')
  await ask(anna.token, 'POST /api/auth/logout')
  await ask(anna.token, 'GET /api/auth/me')
  await ask(admin.token, 'GET /api/admin/audit')
}
