'use strict'

// node-postgres: simple and parameterised queries, named statements, cursors, COPY streams, and its pool.

const { Client, Pool, types } = require('pg')
const Cursor = require('pg-cursor')
const copy = require('pg-copy-streams')
const { once } = require('node:events')
const { Readable } = require('node:stream')
const { pipeline } = require('node:stream/promises')
const timers = require('node:timers/promises')
const { attempt, fields, main, section, show } = require('./transcript')

const SCHEMA = 'node_postgres'
const options = `-c search_path=${SCHEMA},public`

const SETUP = `
DROP SCHEMA IF EXISTS ${SCHEMA} CASCADE;
CREATE SCHEMA ${SCHEMA};
SET search_path = ${SCHEMA}, public;
CREATE TYPE mood AS ENUM ('sad', 'happy');
CREATE TYPE pair AS (number int, word text);
CREATE TABLE item (id int PRIMARY KEY, name text NOT NULL, price numeric(10,2) CHECK (price > 0));
CREATE TABLE log (id serial PRIMARY KEY, what text);
INSERT INTO item SELECT n, 'item ' || n, n * 1.25 FROM generate_series(1, 100) n;
`

async function connected(connectionString, work, more = {}) {
  const client = new Client({ connectionString, options, ...more })
  client.on('error', () => {})
  await client.connect()
  try {
    return await work(client)
  } finally {
    await client.end()
  }
}

function result(found) {
  return [found.command, found.rowCount, found.rows, found.fields.map((field) => [field.name, field.dataTypeID, field.format])]
}

section('setting up', (uri) => connected(uri, async (client) => {
  const results = await client.query(SETUP)
  show('results', results.map((found) => [found.command, found.rowCount]))
}, { options: undefined }))

const SETTINGS = ['application_name', 'client_encoding', 'statement_timeout', 'lock_timeout',
  'idle_in_transaction_session_timeout', 'search_path', 'work_mem', 'TimeZone']

section('connecting', async (uri) => {
  for (const more of [{}, { application_name: 'my app' }, { fallback_application_name: 'fallback' }, { keepAlive: true },
    { client_encoding: 'LATIN1' }, { statement_timeout: 7000 }, { query_timeout: 7000 }, { connectionTimeoutMillis: 5000 },
    { idle_in_transaction_session_timeout: 9000 }, { lock_timeout: 3000 }, { ssl: false }, { binary: true },
    { options: '-c work_mem=5MB -c timezone=Asia/Tokyo' }]) {
    await connected(uri, async (client) => {
      const text = `SELECT current_user, current_database(), ${SETTINGS.map((name) => `current_setting('${name}')`)}`
      show(JSON.stringify(more), (await client.query({ text, rowMode: 'array' })).rows[0])
    }, more)
  }
  for (const more of [{ password: 'wrong' }, { user: 'nobody_of_that_name' }, { database: 'no_such_database' },
    { options: '-c no_such_setting=1' }, { ssl: true }]) {
    const parts = new URL(uri)
    const base = { host: parts.hostname, port: parts.port, user: parts.username, password: parts.password, database: parts.pathname.slice(1) }
    await attempt(JSON.stringify(more), async () => {
      const client = new Client({ ...base, ...more })
      client.on('error', () => {})
      await client.connect()
      await client.end()
      return 'connected'
    })
  }
})

section('queries', (uri) => connected(uri, async (client) => {
  show('simple', result(await client.query('SELECT * FROM item WHERE id < 3 ORDER BY id')))
  show('parameters', result(await client.query('SELECT name, $2::text AS t FROM item WHERE id = ANY($1) ORDER BY 1', [[5, 6], 'x'])))
  show('as arrays', result(await client.query({ text: 'SELECT 1 AS a, 2 AS a', rowMode: 'array' })))
  for (const statement of ['', ';', '-- nothing', 'SELECT', 'VALUES (1), (2)']) show(statement, result(await client.query(statement)))
  show('insert', result(await client.query('INSERT INTO log (what) VALUES ($1), ($2) RETURNING what', ['a', "it's"])))
  show('seen', (await client.query('SELECT count(*) FROM log')).rows)
  const several = await client.query("SELECT 1 AS one; UPDATE log SET what = 'b'; SELECT count(*) FROM log")
  show('several', several.map(result))
  await attempt('an error in the middle', () => client.query("INSERT INTO log (what) VALUES ('lost'); SELECT 1/0; SELECT 2"))
  show('was rolled back', (await client.query('SELECT count(*) FROM log')).rows)
  await attempt('syntax', () => client.query('SELEC 1'))
  await attempt('no table', () => client.query('SELECT *\nFROM   missing WHERE a = $1', [1]))
  await attempt('a constraint', () => client.query("INSERT INTO item VALUES (500, 'x', $1)", [-1]))
  await attempt('a duplicate', () => client.query("INSERT INTO item VALUES (1, 'x', 1)"))
  await attempt('too few parameters', () => client.query('SELECT $1::int + $2::int', [1]))
  await attempt('several with parameters', () => client.query('SELECT $1::int; SELECT 2', [1]))
  show('in recovery', (await client.query('SELECT pg_is_in_recovery()')).rows)
}))

section('types', async (uri) => {
  const values = { bool: 't', int2: '-32768', int4: '2147483647', int8: '9223372036854775807', float4: '1.5', float8: '-Infinity',
    numeric: '12345678901234567890.123456789', text: "a'b\\c é漢", 'char(5)': 'ab', bytea: '\\x00ff10', date: '2024-02-29',
    time: '23:59:59.999999', timestamptz: '2024-02-29 12:30:45.123456+05:30', interval: '3 days 04:05:06.789',
    uuid: '12345678-1234-5678-1234-567812345678', json: '{"b": [1, null]}', jsonb: '{"b": [1, null]}', 'int4[]': '{{1,2},{3,4}}',
    'text[]': '{"a,b",""}', int4range: '[1,5)', inet: '::1', point: '(1,-2.5)', mood: 'sad', pair: '(1,"a b")', xml: '<a/>' }
  // No NULL in an array: the driver's binary parser takes its length for 4 GiB.
  types.setTypeParser(types.builtins.DATE, (value) => value)
  for (const binary of [false, true]) {
    await connected(uri, async (client) => {
      for (const [kind, value] of Object.entries(values)) {
        const found = await client.query({ text: `SELECT $1::${kind} AS v, ($1::${kind})::text AS t, pg_typeof($1::${kind})::text AS k`, values: [value] })
        show(`${kind} ${binary}`, found.rows, found.fields.map((field) => field.format))
      }
      const given = [true, 1, 1.5, 'x', null, new Date(Date.UTC(2024, 1, 29)), Buffer.from([0, 255]), { a: 1 }, [1, 2], 12345678901234567890n]
      const kinds = ['bool', 'int4', 'float8', 'text', 'text', 'timestamptz', 'bytea', 'jsonb', 'int4[]', 'numeric']
      const row = await client.query(`SELECT ${kinds.map((kind, n) => `($${n + 1}::${kind})::text AS c${n}`)}`, given)
      show('parameters', row.rows)
    }, { binary })
  }
})

section('named statements', (uri) => connected(uri, async (client) => {
  let sum = 0
  for (let n = 0; n < 300; n++) {
    const found = await client.query({ name: 'by id', text: 'SELECT id FROM item WHERE id = $1', values: [(n % 100) + 1] })
    sum += found.rows[0].id
  }
  show('300 times', sum)
  const stale = []
  for (let n = 0; n < 50; n++) {
    await client.query({ name: 'write', text: 'INSERT INTO log (what) VALUES ($1)', values: [`turn ${n}`] })
    const seen = await client.query({ name: 'read', text: 'SELECT count(*)::int FROM log WHERE what LIKE $1', values: ['turn%'] })
    if (seen.rows[0].count !== n + 1) stale.push([n, seen.rows[0].count])
  }
  show('in turns', stale)
  for (let n = 0; n < 200; n++) await client.query({ name: `s${n}`, text: `SELECT ${n} + $1::int`, values: [n] })
  for (let n = 0; n < 200; n += 50) show('still there', (await client.query({ name: `s${n}`, text: `SELECT ${n} + $1::int`, values: [n] })).rows)
  await attempt('one name for two texts', () => client.query({ name: 's1', text: 'SELECT 2', values: [] }))
  await client.query('CREATE TABLE shape AS SELECT 1 AS a')
  const shape = { name: 'shape', text: 'SELECT * FROM shape', values: [] }
  show('before', result(await client.query(shape)))
  await client.query('ALTER TABLE shape ADD COLUMN b int DEFAULT 2')
  await attempt('after', () => client.query(shape))
  await client.query('DEALLOCATE ALL')
  await attempt('deallocated behind its back', () => client.query({ name: 'by id', text: 'SELECT id FROM item WHERE id = $1', values: [1] }))
}))

section('several in flight', (uri) => connected(uri, async (client) => {
  const reads = Array.from({ length: 100 }, (_, n) => client.query('SELECT id FROM item WHERE id = $1', [n + 1]))
  show('reads', (await Promise.all(reads)).reduce((sum, found) => sum + found.rows[0].id, 0))
  const mixed = await Promise.allSettled([
    client.query("INSERT INTO log (what) VALUES ('flight')"), client.query("SELECT count(*) FROM log WHERE what = 'flight'"),
    client.query('SELECT 1/0'), client.query('SELECT 3 AS three'), client.query('BEGIN'), client.query("DELETE FROM log"),
    client.query('ROLLBACK'), client.query("SELECT count(*) FROM log WHERE what = 'flight'")])
  show('mixed', mixed.map((one) => (one.status === 'fulfilled' ? [one.value.command, one.value.rows] : fields(one.reason))))
}))

section('cursors', (uri) => connected(uri, async (client) => {
  const cursor = client.query(new Cursor('SELECT id FROM item WHERE id > $1 ORDER BY id', [10]))
  const seen = []
  for (let rows = await cursor.read(7); rows.length; rows = await cursor.read(7)) seen.push(rows.length)
  show('in sevens', seen)
  const early = client.query(new Cursor('SELECT * FROM generate_series(1, 1000000)'))
  show('left early', await early.read(2))
  await early.close()
  await attempt('an error later', async () => {
    const failing = client.query(new Cursor('SELECT 10 / (5 - n) FROM generate_series(1, 10) n'))
    const first = await failing.read(3)
    show('before it', first)
    return failing.read(10)
  })
  show('afterwards', (await client.query('SELECT 1 AS one')).rows)
  show('rows at a time', result(await client.query({ text: 'SELECT id FROM item ORDER BY id LIMIT 20', rows: 5 })))
  await client.query('BEGIN')
  await client.query('DECLARE c SCROLL CURSOR FOR SELECT id FROM item ORDER BY id')
  show('FETCH', result(await client.query('FETCH 2 FROM c')), result(await client.query('FETCH BACKWARD 1 FROM c')))
  show('MOVE', result(await client.query('MOVE 10 FROM c')))
  await client.query('COMMIT')
}))

section('copy', (uri) => connected(uri, async (client) => {
  await client.query('CREATE TABLE copied (id int PRIMARY KEY, word text)')
  const lines = (from, to) => Array.from({ length: to - from }, (_, n) => `${from + n}\tw\\t${n}\n`)
  const put = async (source) => {
    const stream = client.query(copy.from('COPY copied FROM STDIN'))
    await pipeline(source, stream)
    return stream.rowCount
  }
  show('in', await put(Readable.from(lines(0, 20000))))
  const take = async (statement) => {
    const stream = client.query(copy.to(statement))
    let bytes = 0
    for await (const chunk of stream) bytes += chunk.length
    return [bytes, stream.rowCount]
  }
  show('out', await take('COPY copied TO STDOUT'), await take('COPY (SELECT * FROM copied WHERE id < 10) TO STDOUT (FORMAT csv)'))
  await attempt('a bad row in the middle', () => put(Readable.from([...lines(30000, 30500), 'bad\tx\n', ...lines(30500, 31000)])))
  await attempt('the source fails', () => put(Readable.from((function* () {
    yield '40000\tx\n'
    throw new Error('the source is broken')
  })())))
  await attempt('an error while it is sent', () => take('COPY (SELECT 10 / (15000 - id) FROM copied ORDER BY id) TO STDOUT'))
  show('still usable', (await client.query('SELECT count(*) FROM copied')).rows)
}))

section('transactions', (uri) => connected(uri, async (client) => {
  for (const level of ['READ UNCOMMITTED', 'READ COMMITTED', 'REPEATABLE READ', 'SERIALIZABLE']) {
    await client.query(`BEGIN ISOLATION LEVEL ${level} READ ONLY`)
    show(level, (await client.query("SELECT current_setting('transaction_isolation') AS i, current_setting('transaction_read_only') AS r, count(*) FROM item")).rows)
    await attempt('a write', () => client.query("INSERT INTO log (what) VALUES ('x')"))
    await attempt('after the error', () => client.query('SELECT 1'))
    show('end', (await client.query('COMMIT')).command)
  }
  await client.query('BEGIN')
  await client.query("INSERT INTO log (what) VALUES ('outer')")
  await client.query('SAVEPOINT s')
  await attempt('an error', () => client.query('SELECT * FROM missing'))
  await client.query('ROLLBACK TO s')
  await client.query('RELEASE s')
  await client.query('COMMIT')
  show('kept', (await client.query("SELECT count(*) FROM log WHERE what = 'outer'")).rows)
}))

section('cancel and time-out', async (uri) => {
  await connected(uri, async (client) => {
    const endless = 'SELECT count(*) FROM generate_series(1, 3000000000) n'
    await client.query("SET statement_timeout = '100ms'")
    for (const statement of ['SELECT pg_sleep(30)', endless]) await attempt('time-out of the server', () => client.query(statement))
    await client.query('SET statement_timeout = 0')
    for (const statement of ['SELECT pg_sleep(30)', endless]) {
      const running = attempt('cancelled', () => client.query(statement))
      let ended = false
      running.then(() => { ended = true })
      // Again and again: it may not have begun at the first attempt.
      while (!ended) {
        await cancel(uri, client)
        await timers.setTimeout(50)
      }
      await running
      show('afterwards', (await client.query('SELECT 1 AS one')).rows)
    }
  })
  await connected(uri, (client) => attempt('time-out of the driver', () => client.query('SELECT pg_sleep(30)')), { query_timeout: 200 })
})

/** node-postgres has no cancel of its own that fits its promises, so the request is made by hand. */
async function cancel(uri, client) {
  const { Socket } = require('node:net')
  const parts = new URL(uri)
  const socket = new Socket()
  socket.on('error', () => {})
  socket.connect(Number(parts.port), parts.hostname)
  await once(socket, 'connect')
  const request = Buffer.alloc(16)
  request.writeInt32BE(16, 0)
  request.writeInt32BE(80877102, 4)
  request.writeInt32BE(client.processID, 8)
  request.writeInt32BE(client.secretKey, 12)
  socket.end(request)
  socket.resume()
  await once(socket, 'close')
}

section('notices and notifications', (uri) => connected(uri, (one) => connected(uri, async (two) => {
  const notices = []
  one.on('notice', (notice) => notices.push(fields(notice)))
  await one.query("DO $$ BEGIN RAISE NOTICE 'n'; RAISE WARNING 'w' USING DETAIL = 'd', HINT = 'h'; END $$")
  await one.query('DROP TABLE IF EXISTS never_was')
  show('notices', notices)
  await one.query('LISTEN news')
  const heard = []
  const three = new Promise((done) => one.on('notification', (news) => {
    heard.push([news.channel, news.payload])
    if (heard.length === 3) done()
  }))
  await two.query("SELECT pg_notify('news', $1)", ['first'])
  await two.query("BEGIN; NOTIFY news, 'second'; COMMIT")
  await one.query("NOTIFY news, 'third, to itself'")
  await three
  show('heard', heard)
})))

section('large things', (uri) => connected(uri, async (client) => {
  const blob = Buffer.alloc(16 << 20, 'abcdefg')
  const back = await client.query('SELECT $1::bytea AS blob', [blob])
  show('16 MiB and back', blob.equals(back.rows[0].blob))
  const wide = await client.query("SELECT repeat('x', 30000000) AS a, repeat('y', 1000) AS b")
  show('a row of 30 MB', wide.rows[0].a.length, wide.rows[0].b.length)
  const cursor = client.query(new Cursor('SELECT n, repeat(md5(n::text), 30) AS t FROM generate_series(1, 30000) n'))
  let seen = 0
  let size = 0
  for (let rows = await cursor.read(2000); rows.length; rows = await cursor.read(2000)) {
    seen += rows.length
    size += rows.reduce((sum, row) => sum + row.t.length, 0)
    await timers.setTimeout(20)
  }
  show('read slowly', seen, size)
}))

section('its pool', async (uri) => {
  const pool = new Pool({ connectionString: uri, options, max: 5 })
  pool.on('error', () => {})
  const failures = []
  let sum = 0
  const work = async (worker) => {
    for (let n = 0; n < 30; n++) {
      const client = await pool.connect()
      try {
        const state = (await client.query("SELECT current_setting('search_path') AS p, coalesce(current_setting('app.tenant', true), '') AS t")).rows[0]
        if (state.p !== `${SCHEMA},public` || state.t !== '') failures.push(state)
        await client.query(`SET app.tenant = 'worker ${worker}'`)
        const found = await client.query('SELECT id FROM item WHERE id = $1', [n + 1])
        sum += found.rows[0].id
        const seen = (await client.query("SELECT current_setting('app.tenant') AS t")).rows[0].t
        if (seen !== `worker ${worker}`) failures.push(['lost', seen])
        await client.query('DISCARD ALL')
      } finally {
        client.release()
      }
    }
  }
  await Promise.all(Array.from({ length: 10 }, (_, worker) => work(worker)))
  show('with DISCARD ALL', sum, failures)
  show('query of the pool', (await pool.query('SELECT $1::text AS t', ['x'])).rows)
  await attempt('error of the pool', () => pool.query('SELECT 1/0'))
  await pool.end()
})

main()
