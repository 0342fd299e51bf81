// A Fastify gateway: token (verdicts remembered), permission, and two limits counted in Redis. WORKERS processes share
// the port; PLAIN_PORT passes everything on.
import cluster from 'node:cluster';
import {readFileSync} from 'node:fs';
import fastify from 'fastify';
import jwt from '@fastify/jwt';
import proxy from '@fastify/http-proxy';
import rateLimit from '@fastify/rate-limit';
import Redis from 'ioredis';

const {PORT, PLAIN_PORT, UPSTREAM, REDIS, PUBLIC_KEY, WORKERS} = process.env;
const passing = {
    upstream: `unix+http://${encodeURIComponent(UPSTREAM)}/`,
    undici: {connections: 64, pipelining: 1},
};

async function plain() {
    const app = fastify({keepAliveTimeout: 75000});
    await app.register(proxy, passing);
    await app.listen({port: +PLAIN_PORT, host: '127.0.0.1'});
}

async function gateway() {
    const app = fastify({keepAliveTimeout: 75000});
    const redis = new Redis(REDIS);
    await app.register(jwt, {
        secret: {public: readFileSync(PUBLIC_KEY)},
        verify: {algorithms: ['ES256'], allowedIss: 'https://storytelling.local', allowedAud: 'storytelling', cache: 100000},
    });
    await app.register(rateLimit, {global: false, redis, max: 1000000, timeWindow: 10000});
    // Not request.jwtVerify: it makes a verifier, and with it a cache, for each request.
    const authenticate = async (request, reply) => {
        try {
            request.user = app.jwt.verify((request.headers.authorization ?? '').slice('Bearer '.length));
        } catch {
            return reply.code(401).send();
        }
    };
    const byAddress = app.rateLimit({keyGenerator: (request) => `a:${request.ip}`});
    const byUser = app.rateLimit({keyGenerator: (request) => `u:${request.user.sub}`});
    await app.register(proxy, {
        ...passing,
        preHandler: [
            byAddress,
            authenticate,
            async (request, reply) => request.user.scope == 'thing:read' ? undefined : reply.code(403).send(),
            byUser,
        ],
        replyOptions: {
            rewriteRequestHeaders: (request, headers) => ({...headers, authorization: undefined, 'x-api-user': request.user.sub}),
        },
    });
    await app.listen({port: +PORT, host: '127.0.0.1'});
}

if (cluster.isPrimary && +WORKERS > 1) {
    for (let n = 0; n < +WORKERS; n++)
        cluster.fork();
    process.on('SIGTERM', () => { for (const id in cluster.workers) cluster.workers[id].kill(); process.exit(0); });
} else {
    await plain();
    await gateway();
}
