# Sidekiq: ruby sidekiq.rb setup | enqueue JOB COUNT | produce JOB COUNT RATE, and `sidekiq -r sidekiq.rb` for a worker
# of JOB. Environment and lines of REPORT are those of queues/queue.js. Several processes, for Ruby runs one thread at a
# time. A job is taken off the list before it runs: a crash loses those that ran.
require 'sidekiq'
require 'pg'

REPORT = File.open(ENV['REPORT'], 'a')
REPORT.sync = true
CHUNK = 1000

def now = Process.clock_gettime(Process::CLOCK_MONOTONIC, :microsecond)
def say(line) = REPORT.write("#{line}\n")

begin
  require 'hiredis'
  DRIVER = { driver: :hiredis }.freeze
rescue LoadError
  DRIVER = {}.freeze
end
REDIS = { url: "unix://#{ENV['REDIS']}", **DRIVER }.freeze

# What was done since the last report.
module Done
  @lock = Mutex.new
  @count = 0
  class << self
    def add(start)
      @lock.synchronize do
        @first = start if @count.zero?
        @count += 1
        @last = now
      end
    end

    def report
      @lock.synchronize do
        say("done #{@count} #{@first} #{@last}") if @count.positive?
        @count = 0
      end
    end
  end
end

class Noop
  include Sidekiq::Worker
  sidekiq_options retry: false

  def perform(_n, _at)
    Done.add(now)
  end
end

class Effect
  include Sidekiq::Worker
  sidekiq_options retry: false

  def self.connection
    Thread.current[:pg] ||= PG.connect(host: ENV['PGHOST'], user: ENV['PGUSER'], dbname: ENV['PGDATABASE']).tap do |pg|
      pg.prepare('effect', 'insert into effects (id) values ($1) on conflict do nothing')
    end
  end

  def perform(n, _at)
    start = now
    Effect.connection.exec_prepared('effect', [n])
    Done.add(start)
  end
end

class Latency
  include Sidekiq::Worker
  sidekiq_options retry: false

  def perform(_n, at)
    say("late #{now - at}")
  end
end

Sidekiq.configure_client { |config| config.redis = REDIS.merge(size: 2) }
Sidekiq.configure_server do |config|
  config.redis = REDIS
  config.logger.level = Logger::WARN
  config.on(:startup) do
    say('ready')
    $stdin.gets
    Thread.new { loop { sleep 0.02; Done.report } }
  end
end

if $PROGRAM_NAME == __FILE__
  role, job, count, rate = ARGV
  count, rate = count.to_i, rate.to_f
  work = job && Object.const_get(job.capitalize)
  case role
  when 'setup'
    say("version #{Sidekiq::VERSION}")
  when 'enqueue'
    from = now
    (0...count).each_slice(CHUNK) { |slice| Sidekiq::Client.push_bulk('class' => work, 'args' => slice.map { |n| [n, 0] }) }
    say("enqueued #{count} #{from} #{now}")
  when 'produce'
    from = now
    count.times do |n|
      left = from + n * 1e6 / rate - now
      sleep(left / 1e6) if left.positive?
      work.perform_async(n, now)
    end
  end
end
