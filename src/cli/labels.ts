/** `-o labels`: the names of labels, from where the `conntrack` tool has them. */
import { readFileSync } from 'node:fs'
import type { OutputFlags } from '../format/conntrack.js'
import { LABEL_FILE, parseLabelNames, type LabelNames } from '../format/labels.js'
import type { OutputWords } from './options.js'

/** The words of `-o` with the names of labels; `notice` says where there are none. */
export function outputFlags(words: OutputWords, notice: (text: string) => void): OutputFlags {
  return { ...words, labels: words.labels ? readLabelNames(notice) : null }
}

/** Without names labels are not shown at all, which the tool too says on standard error. */
function readLabelNames(notice: (text: string) => void): LabelNames | null {
  try {
    return parseLabelNames(readFileSync(LABEL_FILE, 'utf8'))
  } catch (error) {
    if (!(error instanceof Error && 'syscall' in error)) throw error
    notice(`labels have no names and are not shown: ${error.message}`)
    return null
  }
}
