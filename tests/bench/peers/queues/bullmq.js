// BullMQ as its pages on production, concurrency and removal advise: jobs in bulk, many at a time in each of several
// processes, and what is done is removed. A crashed worker's jobs are found stalled after 30 s.
import { Queue, Worker } from 'bullmq';
import { Redis } from 'ioredis';
import pg from 'pg';

export const name = 'bullmq';

const QUEUE = 'bench';
const connect = (settings) => new Redis({ path: settings.redis, maxRetriesPerRequest: null });

export async function setup() {}

export async function producer(settings) {
    const queue = new Queue(QUEUE, { connection: connect(settings), defaultJobOptions: { removeOnComplete: true, removeOnFail: true } });
    await queue.waitUntilReady();
    return {
        add: (data) => queue.add('job', data),
        addMany: (list) => queue.addBulk(list.map((data) => ({ name: 'job', data }))),
    };
}

export async function worker(settings, handle) {
    const pool = new pg.Pool({ max: Math.min(settings.concurrency, 16) });
    const query = (statement) => pool.query(statement);
    const worker = new Worker(QUEUE, (job) => handle(job.data, query), { connection: connect(settings), concurrency: settings.concurrency, autorun: false });
    worker.on('error', (error) => console.error(error));
    worker.on('failed', (_, error) => console.error(error));
    await worker.waitUntilReady();
    return () => void worker.run();
}
