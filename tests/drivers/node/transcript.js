'use strict'

// What the Node.js scripts share: sections, and a transcript that is the same on every run. See ../transcript.py.

const crypto = require('node:crypto')

const sections = []

/** Registers a part of the script; its name is the heading. */
function section(name, body) {
  sections.push([name, body])
}

function text(value) {
  return JSON.stringify(value, (key, part) => {
    if (typeof part === 'bigint') return `${part}n`
    if (typeof part === 'number' && !Number.isFinite(part)) return String(part)
    return part === undefined ? 'undefined' : part
  })
}

function short(value) {
  const found = text(value)
  if (found.length <= 400) return found
  const digest = crypto.createHash('sha256').update(found).digest('hex').slice(0, 16)
  return `<${found.length} characters, sha256 ${digest}>`
}

/** One line of the transcript; what is long goes in as its length and a hash. */
function show(label, ...values) {
  console.log(`  ${label}: ${values.map(short).join(' ')}`)
}

const FIELDS = ['severity', 'detail', 'hint', 'position', 'where', 'schema', 'table', 'column', 'dataType', 'constraint']

/** Everything of an error or notice that an application may look at. */
function fields(message) {
  const found = FIELDS.filter((name) => message[name] !== undefined).map((name) => [name, message[name]])
  return [message.code, message.message, Object.fromEntries(found)]
}

/** Shows what comes of it: a value or an error. */
async function attempt(label, action) {
  try {
    show(label, await action())
  } catch (error) {
    show(label, error.name, ...fields(error))
  }
}

/** Runs all sections. One that fails does not keep the others from running. */
async function main() {
  let failures = 0
  for (const [name, body] of sections) {
    if (process.argv.length > 3 && !process.argv.includes(name, 3)) continue
    console.log(`== ${name}`)
    try {
      await body(process.argv[2])
    } catch (error) {
      failures += 1
      console.log(`  UNEXPECTED ${error.name}: ${error.message}`)
      console.error(error)
    }
  }
  process.exit(failures ? 1 : 0)
}

module.exports = { attempt, fields, main, section, show }
