// Accounts, sessions with token selectors, the blacklist, and the audit of all of them.

import { createHash, randomBytes } from 'node:crypto'
import { Failure, type Handler, type Request, type Routes } from '../http.ts'

const hash = (text: string) => createHash('sha256').update(text).digest('hex')
const inDays = (days: number) => new Date(Date.now() + days * 86_400_000)

/** Lets only requests with a live session pass. */
export function authenticated(handler: Handler, role?: string): Handler {
  return async (request) => {
    const session = await liveSession(request)
    if (role && session.user.role !== role) throw new Failure(403, `only for ${role}`)
    return handler({ ...request, user: session.user })
  }
}

async function liveSession({ prisma, token }: Request) {
  const [selector, secret] = token?.split('.') ?? []
  if (!selector || !secret) throw new Failure(401, 'no token')
  if (await prisma.tokenBlacklist.findUnique({ where: { tokenHash: hash(secret) } })) throw new Failure(401, 'revoked')
  const session = await prisma.session.findFirst({
    where: { tokenSelector: selector, expiresAt: { gt: new Date() } },
    include: { user: true },
  })
  if (!session || session.tokenHash !== hash(secret)) throw new Failure(401, 'no session')
  return session
}

async function register({ prisma, body }: Request) {
  const { email, password, name, role, phone } = body
  return prisma.user.create({
    data: {
      email,
      passwordHash: hash(email + password),
      name,
      role,
      phone,
      notifications: { create: { type: 'WELCOME', title: `Welcome, ${name}` } },
    },
    omit: { passwordHash: true },
  })
}

async function login({ prisma, body }: Request) {
  const user = await prisma.user.findUnique({ where: { email: body.email } })
  if (!user?.isActive || user.passwordHash !== hash(body.email + body.password)) {
    await prisma.auditLog.create({
      data: { userId: user?.id, eventType: 'LOGIN_FAILED', detail: { email: body.email } },
    })
    throw new Failure(401, 'wrong e-mail or password')
  }
  const [selector, secret] = [randomBytes(8).toString('hex'), randomBytes(24).toString('hex')]
  await prisma.$transaction([
    prisma.session.create({
      data: { userId: user.id, tokenSelector: selector, tokenHash: hash(secret), expiresAt: inDays(30) },
    }),
    prisma.auditLog.create({ data: { userId: user.id, eventType: 'LOGIN', ipAddress: '127.0.0.1' } }),
  ])
  return { token: `${selector}.${secret}`, userId: user.id }
}

async function refresh(request: Request) {
  const { id } = await liveSession(request)
  const data = { lastUsedAt: new Date(), expiresAt: inDays(30) }
  return request.prisma.session.update({ where: { id }, data, select: { id: true, expiresAt: true } })
}

async function logout(request: Request) {
  const session = await liveSession(request)
  const { id, userId, tokenHash, expiresAt } = session
  await request.prisma.$transaction(async (tx) => {
    await tx.tokenBlacklist.create({ data: { tokenHash, userId, reason: 'logout', expiresAt } })
    await tx.session.delete({ where: { id } })
    await tx.auditLog.create({ data: { userId, eventType: 'LOGOUT' } })
  })
}

export const auth: Routes = {
  'POST /api/auth/register': register,
  'POST /api/auth/login': login,
  'POST /api/auth/refresh': refresh,
  'POST /api/auth/logout': logout,
  'GET /api/auth/me': authenticated(async ({ user: { passwordHash, ...shown } }) => shown),
}
