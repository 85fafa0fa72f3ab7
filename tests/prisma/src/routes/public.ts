// What everybody reads: reviews and rankings, and the catalogue.

import { Failure, type Request, type Routes } from '../http.ts'
import { authenticated } from './auth.ts'

async function review({ prisma, user, body }: Request) {
  const { projectId, contractorId, rating, comment } = body
  const project = await prisma.project.findUniqueOrThrow({ where: { id: projectId } })
  if (project.ownerId !== user.id || project.status !== 'COMPLETED') throw new Failure(409, 'nothing to review')
  const written = await prisma.review.create({ data: { projectId, contractorId, rating, comment, authorId: user.id } })
  const where = { contractorId, isDeleted: false }
  const { _avg, _count } = await prisma.review.aggregate({ where, _avg: { rating: true }, _count: true })
  const completedProjects = await prisma.bid.count({
    where: { contractorId, status: 'ACCEPTED', project: { status: 'COMPLETED' } },
  })
  const score = { rating: _avg.rating ?? 0, reviewCount: _count, completedProjects }
  const ranking = { ...score, totalScore: score.rating * 10 + completedProjects, isFeatured: score.rating >= 4.5 }
  await prisma.contractorRanking.upsert({
    where: { contractorId },
    create: { contractorId, ...ranking },
    update: ranking,
  })
  return { written, ranking }
}

async function reviews({ prisma, params, query }: Request) {
  const where = { contractorId: params.id, isDeleted: false }
  const [page, stats, stars] = await Promise.all([
    prisma.review.findMany({
      where,
      orderBy: [{ createdAt: 'desc' }, { id: 'desc' }],
      take: 3,
      skip: 3 * (Number(query.get('page') ?? 1) - 1),
      include: { author: { select: { name: true } }, project: { select: { title: true } } },
    }),
    prisma.review.aggregate({
      where,
      _avg: { rating: true },
      _min: { rating: true },
      _max: { rating: true },
      _count: true,
    }),
    prisma.review.groupBy({ by: ['rating'], where, _count: true, orderBy: { rating: 'desc' } }),
  ])
  return { page, stats, stars }
}

const rankings =
  (featured?: boolean) =>
  async ({ prisma }: Request) => {
    const where = { isFeatured: featured }
    const [list, totals] = await Promise.all([
      prisma.contractorRanking.findMany({
        where,
        orderBy: [{ totalScore: 'desc' }, { contractor: { name: 'asc' } }],
        take: 10,
        include: { contractor: { select: { name: true } } },
      }),
      prisma.contractorRanking.aggregate({
        where,
        _avg: { totalScore: true },
        _sum: { reviewCount: true },
        _count: true,
      }),
    ])
    return { list, totals }
  }

export const open: Routes = {
  'POST /api/reviews': authenticated(review, 'CUSTOMER'),
  'GET /api/reviews/contractors/:id': reviews,
  'GET /api/rankings': rankings(),
  'GET /api/rankings/featured': rankings(true),
  'GET /api/regions': ({ prisma }) =>
    prisma.region.findMany({
      where: { parentId: null },
      orderBy: { id: 'asc' },
      include: { children: { orderBy: { id: 'asc' }, include: { children: { orderBy: { id: 'asc' } } } } },
    }),
  'GET /api/pricing/categories': ({ prisma }) =>
    prisma.serviceCategory.findMany({ where: { isActive: true }, orderBy: { sortOrder: 'asc' } }),
  'GET /api/pricing/unit-prices': ({ prisma, query }) =>
    prisma.unitPrice.findMany({ where: { categoryId: Number(query.get('category')) }, orderBy: { name: 'asc' } }),
  'GET /api/pricing/materials': ({ prisma }) => prisma.material.findMany({ orderBy: { name: 'asc' }, take: 20 }),
  'GET /api/blog/posts': ({ prisma }) =>
    prisma.blogPost.findMany({ orderBy: { publishedAt: 'desc' }, take: 2, select: { slug: true, title: true } }),
  'GET /api/blog/posts/:slug': ({ prisma, params }) =>
    prisma.blogPost.findUniqueOrThrow({ where: { slug: params.slug } }),
}
