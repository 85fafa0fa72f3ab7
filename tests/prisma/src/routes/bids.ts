// Bids: interactive transactions that read, decide and write.

import { Failure, type Request, type Routes } from '../http.ts'
import { authenticated } from './auth.ts'

async function bid({ prisma, user, params, body }: Request) {
  return prisma.$transaction(
    async (tx) => {
      const project = await tx.project.findUniqueOrThrow({ where: { id: params.id } })
      if (project.status !== 'OPEN') throw new Failure(409, `the project is ${project.status}`)
      const made = await tx.bid.create({
        data: { projectId: project.id, contractorId: user.id, price: body.price, message: body.message },
      })
      await tx.notification.create({
        data: { userId: project.ownerId, type: 'NEW_BID', title: `A bid by ${user.name}` },
      })
      await tx.scheduledNotification.create({
        data: { userId: project.ownerId, type: 'REMINDER', title: 'Bids wait for you', scheduledFor: new Date() },
      })
      // Thrown on purpose, after all that has been written.
      if (body.price > Number(project.budget)) throw new Failure(422, 'above the budget')
      return { ...made, bids: await tx.bid.count({ where: { projectId: project.id } }) }
    },
    { isolationLevel: 'Serializable', maxWait: 10_000, timeout: 20_000 },
  )
}

async function accept({ prisma, user, params }: Request) {
  return prisma.$transaction(async (tx) => {
    const won = await tx.bid.findUniqueOrThrow({ where: { id: params.id }, include: { project: true } })
    if (won.project.ownerId !== user.id) throw new Failure(403, 'not your project')
    const { projectId, contractorId, price } = won
    await tx.bid.update({ where: { id: won.id }, data: { status: 'ACCEPTED' } })
    const rejected = await tx.bid.updateManyAndReturn({
      where: { projectId, id: { not: won.id } },
      data: { status: 'REJECTED' },
      select: { contractorId: true },
    })
    await tx.project.update({ where: { id: projectId }, data: { status: 'MATCHED' } })
    const escrow = await tx.escrow.create({
      data: { projectId, amount: price, fees: { create: { amount: price.mul('0.05'), kind: 'MATCH' } } },
      include: { fees: true },
    })
    const told = [contractorId, ...rejected.map((lost) => lost.contractorId)]
    await tx.notification.createMany({
      data: told.map((userId, i) => ({ userId, type: i ? 'BID_REJECTED' : 'BID_ACCEPTED', title: won.project.title })),
    })
    return { escrow, rejected: rejected.length }
  })
}

const listed = ({ prisma, params }: Request) =>
  prisma.bid.findMany({
    where: { projectId: params.id },
    orderBy: { price: 'asc' },
    include: { contractor: { select: { id: true, name: true } } },
  })

const change = ({ prisma, user, params, body }: Request) =>
  prisma.bid.update({ where: { id: params.id, contractorId: user.id, status: 'PENDING' }, data: { price: body.price } })

export const bids: Routes = {
  'GET /api/projects/:id/bids': authenticated(listed),
  'POST /api/projects/:id/bids': authenticated(bid, 'CONTRACTOR'),
  'PATCH /api/bids/:id': authenticated(change, 'CONTRACTOR'),
  'POST /api/bids/:id/accept': authenticated(accept, 'CUSTOMER'),
}
