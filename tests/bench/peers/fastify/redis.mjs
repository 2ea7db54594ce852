// As most teams begin: the document is in Redis, and projected and serialized for each request.
// PROJECT_FROM=memory keeps the parsed document in process and projects it only.
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import Fastify from 'fastify'
import Redis from 'ioredis'

const hash = text => createHash('sha256').update(text).digest('base64')
const inProcess = process.env.PROJECT_FROM === 'memory'
const redis = new Redis(process.env.REDIS_URL, { enableAutoPipelining: true })
const document = readFileSync(process.env.BENCH_DOCUMENT, 'utf8')
const parsed = JSON.parse(document)
await redis.set(`bench:${hash(process.env.BENCH_TOKEN)}`, document)

const compile = shape => {
  const tree = {}
  for (const path of shape.split(',')) {
    let node = tree
    for (const name of path.split('.')) node = node[name] ??= {}
  }
  return tree
}
const shapes = new Map()
const project = (value, tree) => {
  if (Array.isArray(value)) return value.map(each => project(each, tree))
  if (value === null || typeof value !== 'object') return value
  const out = {}
  for (const name in tree) {
    if (!(name in value)) continue
    const below = tree[name]
    out[name] = Object.keys(below).length ? project(value[name], below) : value[name]
  }
  return out
}

const app = Fastify({ logger: false, exposeHeadRoutes: false })
app.get('/session/bootstrap', async (request, reply) => {
  const given = request.headers.authorization
  if (!given?.startsWith('Bearer ')) return reply.code(401).send()
  const shape = request.query._shape ?? ''
  let tree = shapes.get(shape)
  if (!tree) {
    if (shapes.size > 1000) shapes.clear()
    shapes.set(shape, (tree = compile(shape)))
  }
  const key = hash(given.slice(7))
  const found = inProcess ? parsed : JSON.parse(await redis.get(`bench:${key}`))
  const body = JSON.stringify(shape ? project(found, tree) : found)
  const etag = `"${hash(body).slice(0, 22)}"`
  reply.headers({
    'content-type': 'application/json; charset=utf-8',
    'cache-control': 'private, no-cache',
    vary: 'Authorization, Accept-Encoding, Origin',
    etag,
  })
  if (request.headers['if-none-match'] === etag) return reply.code(304).send()
  return reply.send(body)
})
await app.listen({ port: Number(process.env.PORT), host: '127.0.0.1' })
