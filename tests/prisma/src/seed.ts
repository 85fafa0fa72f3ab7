// What there is before the first customer: the catalogue, with nested writes, and an administrator.

import { createHash } from 'node:crypto'
import type { PrismaClient } from '../generated/client.ts'

export async function seed(prisma: PrismaClient) {
  for (const region of ['North', 'Centre', 'South']) {
    await prisma.region.create({
      data: {
        name: region,
        level: 1,
        children: {
          create: [1, 2].map((n) => ({
            name: `${region} ${n}`,
            level: 2,
            children: { create: [1, 2].map((m) => ({ name: `${region} ${n}.${m}`, level: 3 })) },
          })),
        },
      },
    })
  }
  for (const [i, name] of ['Tiling', 'Painting', 'Electrics', 'Demolition'].entries()) {
    const unitPrices = {
      create: [1, 2, 3].map((n) => ({ name: `${name} ${n}`, unit: 'm2', price: 50_000 * n + 0.25 })),
    }
    await prisma.serviceCategory.create({ data: { name, sortOrder: 10 - i, isActive: i < 3, unitPrices } })
  }
  await prisma.material.createMany({
    data: ['Cement', 'Sand', 'Tile, "white"', "Painter's tape", 'Größe XL é ☃'].map((name, i) => ({
      name,
      unit: 'kg',
      price: `${i}12345678.90`,
    })),
  })
  await prisma.blogPost.createMany({
    data: [1, 2, 3].map((n) => ({
      slug: `post-${n}`,
      title: `Post ${n}`,
      body: 'What a good tiler does; and what not.\n'.repeat(50),
      publishedAt: new Date(Date.UTC(2026, 0, n)),
    })),
  })
  const email = 'admin@example.org'
  const passwordHash = createHash('sha256').update(`${email}secret`).digest('hex')
  await prisma.user.create({ data: { email, passwordHash, name: 'Administrator', role: 'ADMIN' } })
}
