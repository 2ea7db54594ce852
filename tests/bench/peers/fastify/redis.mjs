// As most teams begin: the document is in Redis, and projected and serialized for each request.
// PROJECT_FROM=memory keeps parsed documents in process, and projects and serializes them only.
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import Fastify from 'fastify'
import Redis from 'ioredis'

const hash = text => createHash('sha256').update(text).digest('base64')
const inProcess = process.env.PROJECT_FROM === 'memory'
const redis = new Redis(process.env.REDIS_URL, { enableAutoPipelining: true })
const { 'content-encoding': _, ...headers } = JSON.parse(
  readFileSync(process.env.BENCH_HEADERS, 'utf8'),
)

const compile = shape => {
  const tree = {}
  for (const path of shape.split(',')) {
    let node = tree
    for (const name of path.split('.')) node = node[name] ??= {}
  }
  return tree
}
const shapes = new Map()
const treeOf = shape => {
  let tree = shapes.get(shape)
  if (!tree) {
    if (shapes.size > 1000) shapes.clear()
    shapes.set(shape, (tree = compile(shape)))
  }
  return tree
}
const project = (value, tree) => {
  if (Array.isArray(value)) return value.map(each => project(each, tree))
  if (value === null || typeof value !== 'object') return value
  const out = {}
  for (const name in tree) {
    if (!(name in value)) continue
    const below = tree[name]
    let leaf = true
    for (const _ in below) {
      leaf = false
      break
    }
    out[name] = leaf ? value[name] : project(value[name], below)
  }
  return out
}

const kept = new Map()
const load = async token => {
  const key = process.env.BENCH_DOCUMENTS + hash(token)
  if (kept.has(key)) return kept.get(key)
  const text = await redis.get(key)
  const document = text === null ? null : JSON.parse(text)
  if (inProcess && document !== null) kept.set(key, document)
  return document
}

const app = Fastify({ logger: false, exposeHeadRoutes: false })
app.get('/session/bootstrap', async (request, reply) => {
  const given = request.headers.authorization
  if (!given?.startsWith('Bearer ')) return reply.code(401).send()
  const found = await load(given.slice(7))
  if (found === null) return reply.code(404).send()
  const shape = request.query._shape ?? ''
  const body = JSON.stringify(shape ? project(found, treeOf(shape)) : found)
  const etag = `"${hash(body).slice(0, 22)}"`
  reply.headers(headers).header('etag', etag)
  if (request.headers['if-none-match'] === etag) return reply.code(304).send()
  return reply.send(body)
})
await app.listen({ port: Number(process.env.PORT), host: '127.0.0.1' })
