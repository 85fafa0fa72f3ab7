// The marketplace: listing with filters and pages, details, a project's life.

import { Prisma, ProjectStatus } from '../../generated/client.ts'
import { Failure, type Request, type Routes } from '../http.ts'
import { authenticated } from './auth.ts'

const PAGE = 5

async function list({ prisma, query }: Request) {
  const number = (name: string) => (query.has(name) ? Number(query.get(name)) : undefined)
  const where: Prisma.ProjectWhereInput = {
    status: (query.get('status') as ProjectStatus) ?? 'OPEN',
    regionId: number('region'),
    categoryId: number('category'),
    budget: { gte: number('min'), lte: number('max') },
    title: query.has('q') ? { contains: query.get('q')!, mode: 'insensitive' } : undefined,
  }
  const order = query.get('sort') === 'budget' ? { budget: 'desc' as const } : { publishedAt: 'desc' as const }
  const [projects, total] = await Promise.all([
    prisma.project.findMany({
      where,
      orderBy: [order, { id: 'desc' }],
      skip: PAGE * ((number('page') ?? 1) - 1),
      take: PAGE,
      include: { region: true, category: true, _count: { select: { bids: true } } },
    }),
    prisma.project.count({ where }),
  ])
  return { total, pages: Math.ceil(total / PAGE), projects }
}

async function detail({ prisma, params }: Request) {
  return prisma.project.findUniqueOrThrow({
    where: { id: params.id },
    include: {
      region: { include: { parent: true } },
      category: { include: { unitPrices: { orderBy: { price: 'asc' } } } },
      owner: { select: { id: true, name: true } },
      milestones: { orderBy: { position: 'asc' } },
      escrow: { include: { fees: true } },
      bids: { orderBy: { price: 'asc' }, include: { contractor: { select: { name: true, ranking: true } } } },
    },
  })
}

async function create({ prisma, user, body }: Request) {
  const { title, description, regionId, categoryId, budget, milestones } = body
  return prisma.project.create({
    data: {
      title,
      description,
      budget,
      owner: { connect: { id: user.id } },
      region: { connect: { id: regionId } },
      category: { connect: { id: categoryId } },
      milestones: {
        create: milestones.map((title: string, position: number) => ({
          title,
          position,
          amount: budget / milestones.length,
        })),
      },
    },
    include: { milestones: { orderBy: { position: 'asc' } } },
  })
}

/** Changes a project of the user who asks, if it has the status. */
async function change(
  { prisma, user, params }: Request,
  from: ProjectStatus,
  data: Prisma.ProjectUpdateManyMutationInput,
) {
  const { count } = await prisma.project.updateMany({ where: { id: params.id, ownerId: user.id, status: from }, data })
  if (!count) throw new Failure(409, `not yours, or not ${from}`)
  return prisma.project.findUnique({ where: { id: params.id } })
}

async function complete(request: Request) {
  const { prisma, params } = request
  const done = await change(request, 'MATCHED', { status: 'COMPLETED' })
  const [milestones, escrow] = await prisma.$transaction([
    prisma.milestone.updateMany({
      where: { projectId: params.id, completedAt: null },
      data: { completedAt: new Date() },
    }),
    prisma.escrow.update({ where: { projectId: params.id }, data: { status: 'RELEASED' } }),
  ])
  return { done, milestones, escrow }
}

const messages = ({ prisma, params }: Request) =>
  prisma.message.findMany({
    where: { projectId: params.id },
    orderBy: [{ createdAt: 'asc' }, { id: 'asc' }],
    include: { sender: { select: { name: true } } },
  })

const send = ({ prisma, params, user, body }: Request) =>
  prisma.message.create({
    data: { body: body.text, project: { connect: { id: params.id } }, sender: { connect: { id: user.id } } },
  })

export const projects: Routes = {
  'GET /api/projects': list,
  'POST /api/projects': authenticated(create, 'CUSTOMER'),
  'GET /api/projects/:id': detail,
  'PUT /api/projects/:id': authenticated((request) => change(request, 'OPEN', { budget: request.body.budget })),
  'POST /api/projects/:id/publish': authenticated((request) =>
    change(request, 'DRAFT', { status: 'OPEN', publishedAt: new Date() }),
  ),
  'POST /api/projects/:id/complete': authenticated(complete),
  'GET /api/projects/:id/messages': authenticated(messages),
  'POST /api/projects/:id/messages': authenticated(send),
}
