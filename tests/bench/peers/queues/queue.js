// One process of a queue from npm: node queue.js KIND setup | enqueue JOB COUNT | produce JOB COUNT RATE | work JOB
//
// KIND: bullmq graphile graphile-batched pgboss pgboss-batched; JOB: noop effect latency.
// Environment: REDIS (a socket), PGHOST PGUSER PGDATABASE, CONCURRENCY, REPORT.
// REPORT is a file to which lines are appended; times are microseconds of the monotonic clock:
//   version TEXT | ready | enqueued COUNT FROM TO | done COUNT FIRST_START LAST_END | late US
// `work` begins when it reads a line, and ends by SIGTERM.
import fs from 'node:fs';
import readline from 'node:readline/promises';
import { setTimeout as sleep } from 'node:timers/promises';

const [kind, role, job, count, rate] = process.argv.slice(2);
const [module, variant] = kind.split('-');
const queue = await import(`./${module}.js`);
const report = fs.openSync(process.env.REPORT, 'a');
const say = (line) => fs.writeSync(report, `${line}\n`);
const now = () => Number(process.hrtime.bigint() / 1000n);

const CHUNK = 1000;
const REPORT_MS = 20;
const INSERT = { name: 'effect', text: 'insert into effects (id) values ($1) on conflict do nothing' };

// What was done since the last report.
let done = 0;
let first;
let last;
setInterval(() => {
    if (done) say(`done ${done} ${first} ${last}`);
    done = 0;
}, REPORT_MS).unref();

// A handler gets the job's data, and what runs a statement.
const handlers = {
    async noop() {},
    async effect(data, query) { await query({ ...INSERT, values: [data.n] }); },
    async latency(data) { say(`late ${now() - data.at}`); },
};

async function handle(data, query) {
    const start = now();
    await handlers[job](data, query);
    if (!done++) first = start;
    last = now();
}

// The same for several at once, where a queue hands out several.
async function handleMany(list, query) {
    const start = now();
    if (job === 'effect')
        await query({ name: 'effects', text: 'insert into effects (id) select unnest($1::bigint[]) on conflict do nothing',
            values: [list.map((data) => data.n)] });
    else
        for (const data of list) await handlers[job](data, query);
    if (!done) first = start;
    done += list.length;
    last = now();
}

const settings = { job, variant, concurrency: Number(process.env.CONCURRENCY || 1), redis: process.env.REDIS };

switch (role) {
case 'setup':
    await queue.setup(settings);
    say(`version ${JSON.parse(fs.readFileSync(new URL(`node_modules/${queue.name}/package.json`, import.meta.url))).version}`);
    break;
case 'enqueue': {
    const producer = await queue.producer(settings);
    const from = now();
    for (let n = 0; n < count; n += CHUNK)
        await producer.addMany(Array.from({ length: Math.min(CHUNK, count - n) }, (_, i) => ({ n: n + i })));
    say(`enqueued ${count} ${from} ${now()}`);
    break;
}
case 'produce': {
    const producer = await queue.producer(settings);
    const from = now();
    for (let n = 0; n < count; n++) {
        const left = from + (n * 1e6) / rate - now();
        if (left > 0) await sleep(left / 1000);
        await producer.add({ n, at: now() });
    }
    break;
}
case 'work': {
    const work = await queue.worker(settings, handle, handleMany);
    process.on('SIGTERM', () => process.exit(0));
    say('ready');
    await readline.createInterface({ input: process.stdin }).question('');
    await work();
    await new Promise(() => setInterval(() => {}, 1e6));
}
}
process.exit(0);
