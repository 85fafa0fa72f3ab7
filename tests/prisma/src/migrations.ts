// Migrations without the native schema engine, which would have to be downloaded: the same engine comes as WebAssembly
// in an npm package, and speaks to the database through the driver adapter.
//
//     tsx src/migrations.ts deploy URL    what `prisma migrate deploy` does
//     tsx src/migrations.ts diff URL      the DDL from nothing to schema.prisma; the database only tells its version

import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import { PrismaPg } from '@prisma/adapter-pg'
import { bindMigrationAwareSqlAdapterFactory } from '@prisma/driver-adapter-utils'
import * as wasm from '@prisma/schema-engine-wasm/schema_engine_bg'

const directory = fileURLToPath(new URL('../prisma/migrations', import.meta.url))
const schema = fileURLToPath(new URL('../prisma/schema.prisma', import.meta.url))
const filters = { externalTables: [], externalEnums: [] }

async function engine(url: string): Promise<wasm.SchemaEngine> {
  const module = createRequire(import.meta.url)
    .resolve('@prisma/schema-engine-wasm')
    .replace(/\.js$/, '_bg.wasm')
  const { instance } = await WebAssembly.instantiate(readFileSync(module), { './schema_engine_bg.js': wasm as any })
  wasm.__wbg_set_wasm(instance.exports)
  // Where the engine puts its last words.
  ;(globalThis as any).PRISMA_WASM_PANIC_REGISTRY = { set_message: console.error }
  ;(instance.exports as any).__wbindgen_start()
  // One connection, as the engine's advisory lock belongs to it.
  const config = { connectionString: url, max: 1 }
  const adapter = bindMigrationAwareSqlAdapterFactory(new PrismaPg(config))
  const datamodels: [string, string][] = [[schema, readFileSync(schema, 'utf8')]]
  return wasm.SchemaEngine.new({ datamodels }, () => {}, adapter)
}

function migrations() {
  const names = readdirSync(directory, { withFileTypes: true }).filter((entry) => entry.isDirectory())
  return {
    baseDir: directory,
    lockfile: { path: 'migration_lock.toml', content: readFileSync(`${directory}/migration_lock.toml`, 'utf8') },
    shadowDbInitScript: '',
    migrationDirectories: names.map(({ name }) => ({
      path: name,
      migrationFile: {
        path: 'migration.sql',
        content: { tag: 'ok' as const, value: readFileSync(`${directory}/${name}/migration.sql`, 'utf8') },
      },
    })),
  }
}

/** Applies what the database lacks; returns the names. */
export async function deploy(url: string): Promise<string[]> {
  const engines = await engine(url)
  try {
    return (await engines.applyMigrations({ migrationsList: migrations(), filters })).appliedMigrationNames
  } finally {
    engines.free()
  }
}

/** DDL from nothing to schema.prisma. */
export async function diff(url: string): Promise<string> {
  const files = [{ path: schema, content: readFileSync(schema, 'utf8') }]
  const engines = await engine(url)
  try {
    const made = await engines.diff({
      from: { tag: 'empty' },
      to: { tag: 'schemaDatamodel', files },
      script: true,
      exitCode: null,
      filters,
    })
    return made.stdout ?? ''
  } finally {
    engines.free()
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [command, url] = process.argv.slice(2)
  if (command === 'deploy' && url) console.log(`applied: ${(await deploy(url)).join(', ') || 'nothing'}`)
  else if (command === 'diff' && url) console.log(await diff(url))
  else throw new Error('migrations.ts deploy URL | diff URL')
  // The engine gives its connection back only when it has been idle for long.
  process.exit()
}
