/**
 * Names of labels: the file that the `conntrack` tool has them from. In: its text. Out: names by number.
 */

/** Names of labels by their numbers. */
export type LabelNames = ReadonlyMap<number, string>

/** Where `conntrack -o labels` looks. */
export const LABEL_FILE = '/etc/xtables/connlabel.conf'

const HIGHEST = 127

/**
 * One `NUMBER NAME` a line. As the tool does: names are of letters, digits, hyphens and spaces, of two lines about one
 * number or one name the first counts, and everything else is passed over.
 */
export function parseLabelNames(text: string): LabelNames {
  const names = new Map<number, string>()
  const taken = new Set<string>()
  for (const line of text.split('\n')) {
    const [, digits, name] = /^\s*(0x[0-9a-f]+|\d+)\s+([a-z0-9 -]*[a-z0-9-])\s*$/i.exec(line) ?? []
    if (digits === undefined) continue
    const label = labelNumber(digits)
    if (label > HIGHEST || names.has(label) || taken.has(name)) continue
    names.set(label, name)
    taken.add(name)
  }
  return names
}

/** Decimal, hexadecimal after `0x`, octal after `0`. */
function labelNumber(digits: string): number {
  return /^0\d/.test(digits) ? parseInt(digits, 8) : Number(digits)
}
