import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import type { Plugin } from 'esbuild'
import { defineConfig, type Options } from 'tsup'
import { pack } from './core-packer.js'
import { unpack } from './src/core-text.js'

const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string }

/** The core as text that `src/core-text.ts` unpacks: a fifth smaller than what servers that compress would make of it. */
const coreText: Plugin = {
  name: 'core-text',
  setup(build) {
    build.onLoad({ filter: /core\.wasm$/ }, ({ path }) => {
      const text = packed(path)
      const contents = `import { unpack } from './core-text.js'\nexport default unpack('${text}', ${readFileSync(path).length})`
      return { contents, resolveDir: `${process.cwd()}/src` }
    })
  },
}

const texts = new Map<string, string>()

/** Packed once: builds for several module systems have the same core. */
function packed(path: string): string {
  const bytes = readFileSync(path)
  const text = texts.get(path) ?? pack(bytes)
  texts.set(path, text)
  if (Buffer.compare(unpack(text, bytes.length), bytes) !== 0) throw new Error(`${path} is not what it was when it is unpacked`)
  return text
}

const common: Options = {
  outDir: 'dist',
  target: 'es2022',
  sourcemap: false,
  // Both in turn: 1 KB less of the main entry, gzipped, than esbuild alone makes of it.
  minify: 'terser',
  minifyIdentifiers: true,
  minifySyntax: true,
  minifyWhitespace: true,
  terserOptions: { ecma: 2020, compress: { passes: 2 } },
  define: { __VERSION__: JSON.stringify(version) },
  esbuildOptions: options => { options.charset = 'utf8' },
  esbuildPlugins: [coreText],
  noExternal: ['fflate', 'ipaddr.js'],
}

/** Takes another file's module for the core. */
const coreFrom = (file: string): Plugin => ({
  name: 'core-from',
  setup(build) {
    build.onResolve({ filter: /core-module\.js$/ }, ({ resolveDir }) => ({ path: `${resolveDir}/${file}` }))
    build.onResolve({ filter: /^\.\/core\.wasm$/ }, () => ({ path: './core.wasm', external: true }))
  },
})

const shared: Options = { ...common, platform: 'neutral', external: [/^node:/], splitting: true, dts: true }
const entry = {
  index: 'src/index.ts', capture: 'src/capture.ts', format: 'src/format.ts', helpers: 'src/helpers/index.ts', node: 'src/node.ts',
  pool: 'src/pool.ts', rules: 'src/rules.ts', testing: 'src/testing.ts',
}

export default defineConfig([
  // One build for each module system, so that all entries share one ConntrackError.
  {
    ...shared,
    entry: { ...entry, 'pool-worker': 'src/pool-worker.ts' },
    dts: { entry },
    format: ['esm'],
    onSuccess: async () => {
      mkdirSync('dist', { recursive: true })
      copyFileSync('build/core.wasm', 'dist/core.wasm')
      // What importing the module gives where that is possible: bundlers and workerd.
      const types = 'declare const module: WebAssembly.Module\nexport default module\n'
      for (const ending of ['d.ts', 'd.cts']) writeFileSync(`dist/core.wasm.${ending}`, types)
      // A script for a worker to run; it has nothing to give.
      writeFileSync('dist/pool-worker.d.ts', 'export {}\n')
    },
  },
  {
    ...shared,
    entry,
    format: ['cjs'],
    shims: true,
    esbuildOptions: options => {
      options.charset = 'utf8'
      // What is left of these is rewritten by what makes CommonJS of the chunks, which turns `return(a)??b` into a name.
      options.supported = { 'nullish-coalescing': false, 'optional-chain': false }
    },
  },
  {
    ...common,
    entry: { 'index.workerd': 'src/index.ts' },
    format: ['esm'],
    platform: 'neutral',
    // Under the `workerd` condition the core is a file beside the bundle, which the runtime compiles.
    esbuildPlugins: [coreFrom('core-module.workerd.ts')],
  },
  // The command line: one file for what most commands need, so that it starts soon.
  { ...common, entry: { cli: 'src/cli.ts' }, format: ['esm'], platform: 'node', splitting: true, esbuildPlugins: [coreFrom('core-module.file.ts')] },
])
