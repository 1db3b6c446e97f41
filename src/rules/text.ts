/**
 * The text of `iptables-save` as words with their places. In: one line. Out: its words; quotes and backslashes are undone
 * as `iptables-restore` undoes them.
 */
import { RulesError } from './error.js'

export interface Word {
  readonly text: string
  /** From 1. */
  readonly column: number
  /** It stood in quotes: `"!"` is no negation, `"-j"` no option. */
  readonly quoted: boolean
}

/** The words of a line. */
export function words(line: string, number: number): Word[] {
  const found: Word[] = []
  let at = 0
  while (at < line.length) {
    if (isBlank(line[at])) at++
    else at = readWord(line, number, at, found)
  }
  return found
}

function isBlank(character: string): boolean {
  return character === ' ' || character === '\t'
}

function readWord(line: string, number: number, start: number, found: Word[]): number {
  let at = start
  let quoted = false
  let open = false
  const parts: string[] = []
  for (; at < line.length && (open || !isBlank(line[at])); at++) {
    if (line[at] === '"') {
      quoted = true
      open = !open
    } else {
      if (open && line[at] === '\\' && at + 1 < line.length) at++
      parts.push(line[at])
    }
  }
  if (open) throw new RulesError('a quote that does not end', number, start + 1)
  found.push({ text: parts.join(''), column: start + 1, quoted })
  return at
}

/** The words of one rule, read from front to back. */
export class Arguments {
  #next = 0

  constructor(readonly words: readonly Word[], readonly line: number) {}

  get done(): boolean {
    return this.#next === this.words.length
  }

  /** The word that was taken last; before the first one, the first. */
  get current(): Word {
    return this.words[Math.max(0, this.#next - 1)] ?? { text: '', column: 1, quoted: false }
  }

  take(): Word {
    return this.words[this.#next++]
  }

  /** The value of the option that was taken last. */
  value(): string {
    const option = this.current.text
    if (this.done) throw this.error(`${option} needs a value`)
    const word = this.take()
    if (!word.quoted && word.text === '!') throw this.error(`'!' stands before ${option}, not behind it`)
    return word.text
  }

  /** The next word, taken, if it is no option. */
  optionalValue(): string | null {
    const word = this.words[this.#next]
    if (this.done || (!word.quoted && (word.text === '!' || word.text.startsWith('-')))) return null
    return this.take().text
  }

  /** An error about the word that was taken last. */
  error(what: string): RulesError {
    return new RulesError(what, this.line, this.current.column)
  }
}
