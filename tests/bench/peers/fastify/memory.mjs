// A session route as a Node team would write it: finished answers in a Map, by token hash and shape.
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import Fastify from 'fastify'

const body = readFileSync(process.env.BENCH_BODY)
const headers = JSON.parse(readFileSync(process.env.BENCH_HEADERS, 'utf8'))
const hash = text => createHash('sha256').update(text).digest('base64')

const answer = { body, headers, etag: headers.etag, expires: Date.now() + 3_600_000 }
const answers = new Map([[hash(process.env.BENCH_TOKEN), new Map([['@portal', answer]])]])

const app = Fastify({ logger: false, exposeHeadRoutes: false })
app.get('/session/bootstrap', (request, reply) => {
  const given = request.headers.authorization
  if (!given?.startsWith('Bearer ')) return reply.code(401).send()
  const found = answers.get(hash(given.slice(7)))?.get(request.query._shape ?? '')
  if (!found || found.expires < Date.now()) return reply.code(404).send()
  reply.headers(found.headers)
  if (request.headers['if-none-match'] === found.etag) return reply.code(304).send()
  return reply.send(found.body)
})
await app.listen({ port: Number(process.env.PORT), host: '127.0.0.1' })
