/**
 * The text of `iptables-save` as words with their places. In: one line. Out: its words; quotes and backslashes are undone
 * as `iptables-restore` undoes them.
 */
import { NotUnderstood, RulesError } from './error.js'

export interface Word {
  readonly text: string
  /** From 1. */
  readonly column: number
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
  let open = false
  const parts: string[] = []
  for (; at < line.length && (open || !isBlank(line[at])); at++) {
    if (line[at] === '"') {
      open = !open
      // A quote that ends is the end of the word, whatever is behind it.
      if (!open) {
        at++
        break
      }
    } else {
      if (open && line[at] === '\\' && at + 1 < line.length) at++
      parts.push(line[at])
    }
  }
  if (open) throw new RulesError('a quote that does not end', number, start + 1)
  found.push({ text: parts.join(''), column: start + 1 })
  return at
}

/** A word as `iptables-save` writes it: in quotes where it has more than letters, digits, `_` and `-`. */
export function quoted(text: string): string {
  return /^[-\w]+$/.test(text) ? text : `"${text.replace(/["'\\]/g, '\\$&')}"`
}

/** The words of one rule, read from front to back. */
export class Arguments {
  readonly words: Word[]
  #next = 0

  constructor(words: readonly Word[], readonly line: number) {
    this.words = [...words]
  }

  get done(): boolean {
    return this.#next === this.words.length
  }

  /** The word that was taken last; before the first one, the first. */
  get current(): Word {
    return this.words[Math.max(0, this.#next - 1)] ?? { text: '', column: 1 }
  }

  /** Parts `--option=value`, which was taken last. */
  part(option: string): void {
    const { text, column } = this.current
    const value = { text: text.slice(option.length + 1), column: column + option.length + 1 }
    this.words.splice(this.#next - 1, 1, { text: option, column }, value)
  }

  take(): Word {
    return this.words[this.#next++]
  }

  /** The value of the option that was taken last. */
  value(): string {
    const option = this.current.text
    if (this.done) throw this.error(`${option} needs a value`)
    return this.take().text
  }

  /** The next word, taken, if it is no option. */
  optionalValue(): string | null {
    const word = this.words[this.#next]
    if (this.done || word.text === '!' || word.text.startsWith('-')) return null
    return this.take().text
  }

  /** An error about the word that was taken last. */
  error(what: string): RulesError {
    return new RulesError(what, this.line, this.current.column)
  }

  /** The same, about what is right and no packet can be asked. */
  notUnderstood(what: string): NotUnderstood {
    return new NotUnderstood(what, this.line, this.current.column)
  }
}
