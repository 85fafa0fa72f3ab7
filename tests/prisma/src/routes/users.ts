// Notifications of the user who asks, and what administrators do.

import { Prisma } from '../../generated/client.ts'
import type { Request, Routes } from '../http.ts'
import { authenticated } from './auth.ts'

async function notifications({ prisma, user }: Request) {
  const where = { userId: user.id }
  const [list, unread] = await Promise.all([
    prisma.notification.findMany({ where, orderBy: [{ createdAt: 'desc' }, { id: 'desc' }], take: 10 }),
    prisma.notification.count({ where: { ...where, isRead: false } }),
  ])
  return { unread, list }
}

const markRead = ({ prisma, user }: Request) =>
  prisma.notification.updateMany({
    where: { userId: user.id, isRead: false },
    data: { isRead: true, readAt: new Date() },
  })

async function dashboard({ prisma }: Request) {
  const [users, projects, bids, escrow, byRegion] = await Promise.all([
    prisma.user.groupBy({ by: ['role'], _count: true, orderBy: { role: 'asc' } }),
    prisma.project.groupBy({ by: ['status'], _count: true, _sum: { budget: true }, orderBy: { status: 'asc' } }),
    prisma.bid.aggregate({ _count: true, _avg: { price: true }, _min: { price: true }, _max: { price: true } }),
    prisma.escrow.aggregate({ where: { status: 'RELEASED' }, _sum: { amount: true } }),
    prisma.$queryRaw`
      SELECT "r"."name", count(DISTINCT "p"."id") AS "projects", count("b"."id") AS "bids"
      FROM "Region" "r" JOIN "Project" "p" ON "p"."regionId" = "r"."id" LEFT JOIN "Bid" "b" ON "b"."projectId" = "p"."id"
      WHERE "p"."status" <> 'DRAFT' GROUP BY "r"."id" ORDER BY "r"."id"`,
  ])
  return { users, projects, bids, escrow, byRegion }
}

const users = ({ prisma, query }: Request) =>
  prisma.user.findMany({
    where: query.has('q')
      ? { OR: [{ email: { contains: query.get('q')! } }, { name: { contains: query.get('q')! } }] }
      : {},
    orderBy: { email: 'asc' },
    cursor: query.has('after') ? { email: query.get('after')! } : undefined,
    skip: query.has('after') ? 1 : 0,
    take: 3,
    omit: { passwordHash: true },
    include: { _count: { select: { bids: true, projects: true, notifications: { where: { isRead: false } } } } },
  })

const audit = ({ prisma, query }: Request) =>
  prisma.auditLog.findMany({ where: { eventType: query.get('event') ?? undefined }, orderBy: { id: 'asc' }, take: 50 })

async function deactivate({ prisma, params }: Request) {
  const data = { isActive: false, sessions: { deleteMany: {} } }
  return prisma.user.update({ where: { id: params.id }, data, select: { id: true, isActive: true, sessions: true } })
}

/** The worker of scheduled notifications: takes what is due, past rows that another worker holds. */
async function runJobs({ prisma }: Request) {
  return prisma.$transaction(async (tx) => {
    const due = await tx.$queryRaw<{ id: string; userId: string; title: string }[]>`
      SELECT "id", "userId", "title" FROM "ScheduledNotification"
      WHERE "status" = 'PENDING' AND "scheduledFor" <= ${new Date()} ORDER BY "id" LIMIT 5 FOR UPDATE SKIP LOCKED`
    const ids = due.map(({ id }) => id)
    await tx.scheduledNotification.updateMany({
      where: { id: { in: ids } },
      data: { status: 'SENT', sentAt: new Date() },
    })
    const data = due.map(({ userId, title }) => ({ userId, title, type: 'REMINDER' }))
    await tx.notification.createMany({ data })
    const left = await tx.$executeRaw(Prisma.sql`DELETE FROM "ScheduledNotification" WHERE "status" = 'FAILED'`)
    return { sent: due.length, left }
  })
}

export const own: Routes = {
  'GET /api/notifications': authenticated(notifications),
  'POST /api/notifications/read': authenticated(markRead),
  'GET /api/admin/dashboard': authenticated(dashboard, 'ADMIN'),
  'GET /api/admin/users': authenticated(users, 'ADMIN'),
  'GET /api/admin/audit': authenticated(audit, 'ADMIN'),
  'POST /api/admin/users/:id/deactivate': authenticated(deactivate, 'ADMIN'),
  'POST /api/admin/jobs': authenticated(runJobs, 'ADMIN'),
}
