// Seeds a migrated database, serves the marketplace, goes through its main flows, and prints the transcript.
//
//     tsx src/main.ts URL [named]     named: statements under names that are kept, instead of unnamed ones

import { createHash } from 'node:crypto'
import { PrismaPg } from '@prisma/adapter-pg'
import { queryTags } from '@prisma/sqlcommenter-query-tags'
import { PrismaClient } from '../generated/client.ts'
import { flow } from './flow.ts'
import { serve } from './http.ts'
import { auth } from './routes/auth.ts'
import { bids } from './routes/bids.ts'
import { projects } from './routes/projects.ts'
import { open } from './routes/public.ts'
import { own } from './routes/users.ts'
import { seed } from './seed.ts'
import { Transcript } from './transcript.ts'

const [connectionString, mode] = process.argv.slice(2)
const name = ({ sql }: { sql: string }) => `p_${createHash('sha1').update(sql).digest('hex')}`
const options = mode === 'named' ? { statementNameGenerator: name } : {}
const prisma = new PrismaClient({
  adapter: new PrismaPg({ connectionString, max: 6 }, options),
  comments: [queryTags()],
})
try {
  await seed(prisma)
  const { server, origin } = await serve(prisma, { ...auth, ...projects, ...bids, ...open, ...own })
  await flow(origin, new Transcript())
  server.close()
} finally {
  await prisma.$disconnect()
}
