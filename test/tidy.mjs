/** `npm run tidy`: what the project's style bans, over all files that git knows. Prints each place; exits with 1 if any. */
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'

const LONGEST_LINE = 140
const LONGEST_FUNCTION = 70
const LONGEST_ARCHITECTURE = 300

const files = execFileSync('git', ['ls-files'], { encoding: 'utf8' }).trim().split('\n')
const binary = /\.(pcap|pcapng|gz|bin|wasm)$/
const recorded = /^test\/(captures|rules|fuzz\/corpus)\/|package-lock\.json$/
const found = []
const tell = (file, line, what) => found.push(`${file}:${line}: ${what}`)

/** Patterns, where they are looked for, and why they are banned. */
const BANNED = [
  [/./, /\b(TODO|FIXME|XXX)\b/, 'something left to do', /tidy\.mjs/],
  [/./, /\t/, 'a tab', /\.tsv|\.test\.ts$|format|Makefile|tidy\.mjs|\.md$|\.txt$|conntrack-tool/],
  [/./, /[ \t]+$/, 'a blank at the end of a line', /\.md$/],
  [/./, /registry\.npmjs|npmjs\.org\/(?!package)/, "a package registry's host", /tidy\.mjs/],
  [/./, /(^|[\s'"`(])\/(work|home|root)\//, 'a path of some machine', /tidy\.mjs/],
  [/^src\/.*\.ts$/, /^export default/, 'a default export'],
  [/^src\/.*\.ts$/, /\bMath\.random\b|\bDate\.now\b|\bnew Date\(\)/, 'a clock or chance: time is an input', /^src\/cli\//],
  [/^src\/.*\.ts$/, /\bconsole\.(log|error)\b/, 'output of a library', /^src\/cli/],
  [/^(src|assembly)\/.*\.ts$/, /^(?!\s*(\*|\/\/|\/\*)).*;\s*$/, 'a semicolon'],
  [/^(src|assembly)\/.*\.ts$/, /\b(flow|session)(s|Id|Key|Table)?\b\s*[:=(]/, "a noun that is not netfilter's", /helpers\//],
  [/^assembly\/.*\.ts$/, /\b(throw|try|catch)\b\s*[({]/, 'an exception in the core'],
  [/^assembly\/.*\.ts$/, /=>\s*[{(]/, 'a closure in the core'],
]

for (const file of files) {
  if (binary.test(file) || recorded.test(file)) continue
  const lines = readFileSync(file, 'utf8').split('\n')
  const code = /\.(ts|js|mjs)$/.test(file)
  lines.forEach((line, i) => {
    for (const [where, pattern, why, except] of BANNED) {
      if (where.test(file) && pattern.test(line) && !except?.test(file)) tell(file, i + 1, why)
    }
    if (code && line.length > LONGEST_LINE && !/['"`]/.test(line)) tell(file, i + 1, `${line.length} columns`)
  })
  if (/^(src|assembly)\/.*(?<!\.d)\.ts$/.test(file) && lines[0] !== '/**' && !/^(\/\*\* |import|#!)/.test(lines[0])) {
    tell(file, 1, 'it does not begin with what it is')
  }
  if (file.startsWith('assembly/')) functionLengths(file, lines)
}
if (readFileSync('ARCHITECTURE.md', 'utf8').split('\n').length > LONGEST_ARCHITECTURE) tell('ARCHITECTURE.md', 1, 'too long')

/** Functions at the margin, from their first line to the brace that ends them. */
function functionLengths(file, lines) {
  let start = -1
  lines.forEach((line, i) => {
    if (/^(@\w+ )?(export )?function \w+|^@\w+.* function /.test(line)) start = i
    if (line !== '}' || start < 0) return
    if (i - start + 1 > LONGEST_FUNCTION) tell(file, start + 1, `a function of ${i - start + 1} lines`)
    start = -1
  })
}

for (const line of found) console.log(line)
console.log(found.length === 0 ? `${files.length} files are tidy` : `${found.length} things are not tidy`)
process.exitCode = found.length === 0 ? 0 : 1
