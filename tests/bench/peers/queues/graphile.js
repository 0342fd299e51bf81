// graphile-worker. "batched" is what its page on performance reaches its figures with: a local queue of 500 and
// completion in batches; a crash then leaves up to 500 jobs for each process locked for four hours. Without it a job is
// fetched and completed by itself; a crash leaves those that ran locked as long.
import { makeWorkerUtils, run, runMigrations, Logger } from 'graphile-worker';
import pg from 'pg';

export const name = 'graphile-worker';

const logger = new Logger(() => (level, message) => { if (level === 'error') console.error(message); });

function preset(settings) {
    const pgPool = new pg.Pool({ max: settings.concurrency + 2 });
    pgPool.on('error', () => {});
    const batched = { localQueue: { size: 500 }, completeJobBatchDelay: 0, failJobBatchDelay: 0 };
    return { worker: { pgPool, logger, concurrentJobs: settings.concurrency, ...(settings.variant ? batched : {}) } };
}

export async function setup(settings) {
    await runMigrations({ preset: preset(settings) });
}

export async function producer(settings) {
    const utils = await makeWorkerUtils({ preset: preset(settings) });
    return {
        add: (payload) => utils.addJob('job', payload),
        addMany: (list) => utils.addJobs(list.map((payload) => ({ identifier: 'job', payload }))),
    };
}

export async function worker(settings, handle) {
    const own = preset(settings);
    await own.worker.pgPool.query('select 1');
    const job = (payload, helpers) => handle(payload, (statement) => helpers.withPgClient((client) => client.query(statement)));
    return () => run({ preset: own, taskList: { job }, noHandleSignals: true });
}
