// A small HTTP server: routes with :parameters, JSON in and out, and each handler's statements tagged with its route.

import { createServer, type IncomingMessage, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { withQueryTags } from '@prisma/sqlcommenter-query-tags'
import { Prisma, type PrismaClient, type User } from '../generated/client.ts'

/** What a handler gets. */
export interface Request {
  prisma: PrismaClient
  params: Record<string, string>
  query: URLSearchParams
  body: any
  token: string | undefined
  user: User
}

export type Handler = (request: Request) => Promise<unknown>
export type Routes = Record<string, Handler>

/** An answer other than 200. */
export class Failure extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message)
  }
}

interface Route {
  method: string
  path: string
  pattern: RegExp
  handler: Handler
}

function compile(routes: Routes): Route[] {
  return Object.entries(routes).map(([name, handler]) => {
    const [method, path] = name.split(' ')
    return { method, path, pattern: new RegExp(`^${path.replace(/:(\w+)/g, '(?<$1>[^/]+)')}$`), handler }
  })
}

/** Listens on a free loopback port. */
export async function serve(prisma: PrismaClient, routes: Routes): Promise<{ server: Server; origin: string }> {
  const compiled = compile(routes)
  const server = createServer(async (incoming, outgoing) => {
    const [status, answer] = await respond(prisma, compiled, incoming)
    outgoing.writeHead(status, { 'content-type': 'application/json' }).end(json(answer))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return { server, origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}` }
}

async function respond(prisma: PrismaClient, routes: Route[], incoming: IncomingMessage): Promise<[number, unknown]> {
  const url = new URL(incoming.url ?? '/', 'http://localhost')
  const route = routes.find(({ method, pattern }) => method === incoming.method && pattern.test(url.pathname))
  if (!route) return [404, { error: 'no such route' }]
  const params = { ...route.pattern.exec(url.pathname)?.groups }
  const token = incoming.headers.authorization?.replace('Bearer ', '')
  try {
    const body = await read(incoming)
    const request = { prisma, params, query: url.searchParams, body, token } as Request
    // The pattern, not the path: otherwise every id would make another text.
    const tags = { method: route.method, route: route.path }
    return [200, await withQueryTags(tags, async () => route.handler(request))]
  } catch (error) {
    return failure(error)
  }
}

function failure(error: unknown): [number, unknown] {
  if (error instanceof Failure) return [error.status, { error: error.message }]
  if (error instanceof Prisma.PrismaClientKnownRequestError) {
    const status = { P2002: 409, P2025: 404, P2034: 503 }[error.code] ?? 500
    return [status, { error: error.code, ...(status === 500 && { message: error.message }) }]
  }
  return [500, { error: String(error) }]
}

async function read(incoming: IncomingMessage): Promise<any> {
  const chunks: Buffer[] = []
  for await (const chunk of incoming) chunks.push(chunk)
  return chunks.length ? JSON.parse(Buffer.concat(chunks).toString()) : {}
}

const json = (answer: unknown) =>
  JSON.stringify(answer ?? null, (_, value) => (typeof value === 'bigint' ? value.toString() : value))
