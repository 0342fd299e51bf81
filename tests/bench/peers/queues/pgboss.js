// pg-boss: workers take jobs in batches, the next at once while they are full, and are woken by NOTIFY. Handlers that
// write rows run in the transaction that completes their jobs, so those are written exactly once; "batched" writes the
// rows of a whole batch by one statement. A crashed worker's jobs expire after 15 minutes.
import { PgBoss } from 'pg-boss';

export const name = 'pg-boss';

const QUEUE = 'bench';
const BATCH = 500;

async function boss(settings) {
    const { PGHOST: host, PGUSER: user, PGDATABASE: database } = process.env;
    const boss = new PgBoss({ host, user, database, max: settings.concurrency + 3, supervise: false, schedule: false, useListenNotify: true });
    boss.on('error', (error) => console.error(error));
    await boss.start();
    return boss;
}

export async function setup(settings) {
    await (await boss(settings)).createQueue(QUEUE, { notify: true });
}

export async function producer(settings) {
    const queue = await boss(settings);
    return {
        add: (data) => queue.send(QUEUE, data),
        addMany: (list) => queue.insert(QUEUE, list.map((data) => ({ data }))),
    };
}

export async function worker(settings, handle, handleMany) {
    const queue = await boss(settings);
    const handler = async (jobs, tx) => {
        const query = ({ text, values }) => tx.executeSql(text, values);
        if (settings.variant) await handleMany(jobs.map((job) => job.data), query);
        else await Promise.all(jobs.map((job) => handle(job.data, query)));
    };
    const options = { batchSize: BATCH, burstWhenBatchFull: true, localConcurrency: settings.concurrency, transactional: settings.job === 'effect' };
    return () => queue.work(QUEUE, options, handler);
}
