"""Celery: python3 celery_queue.py setup | enqueue JOB COUNT | produce JOB COUNT RATE, and
`celery -A celery_queue worker` for a worker. Environment and lines of REPORT are those of queues/queue.js.

No results are kept, jobs are acknowledged when they are done, and many are fetched at once, as the guide's page on
optimizing says for short ones. A crashed worker's jobs come back after the visibility timeout, an hour.
"""
import os
import sys
import time

import celery
import psycopg2
from celery.signals import worker_ready

report = os.open(os.environ["REPORT"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
app = celery.Celery("queue", broker="redis+socket://" + os.environ["REDIS"])
app.conf.update(
    task_acks_late=True,
    task_ignore_result=True,
    worker_prefetch_multiplier=64,
    worker_disable_rate_limits=True,
    worker_send_task_events=False,
    broker_connection_retry_on_startup=True,
)
database = None


def now():
    return time.monotonic_ns() // 1000


def say(line):
    os.write(report, (line + "\n").encode())


@worker_ready.connect
def ready(**_):
    say("ready")


@app.task(name="noop")
def noop(n, at):
    start = now()
    say(f"done 1 {start} {now()}")


@app.task(name="effect")
def effect(n, at):
    global database
    start = now()
    if database is None:
        database = psycopg2.connect("")
        database.autocommit = True
        database.cursor().execute("prepare effect (bigint) as insert into effects (id) values ($1) on conflict do nothing")
    database.cursor().execute("execute effect (%s)", (n,))
    say(f"done 1 {start} {now()}")


@app.task(name="latency")
def latency(n, at):
    say(f"late {now() - at}")


def main(role, job=None, count=0, rate=1):
    count, rate = int(count), float(rate)
    if role == "setup":
        say("version " + celery.__version__)
        return
    task = app.tasks[job]
    with app.producer_pool.acquire(block=True) as producer:
        start = now()
        for n in range(count):
            left = start + n * 1e6 / rate - now() if role == "produce" else 0
            if left > 0:
                time.sleep(left / 1e6)
            task.apply_async((n, now()), producer=producer)
        if role == "enqueue":
            say(f"enqueued {count} {start} {now()}")


if __name__ == "__main__":
    main(*sys.argv[1:])
