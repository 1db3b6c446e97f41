/** The helpers against a running kernel: the same payloads, the same drops and expectations. */
import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import type { Helper } from '../../../src/helpers/helper.js'
import { amanda } from '../../../src/helpers/amanda.js'
import { ftp } from '../../../src/helpers/ftp.js'
import { irc } from '../../../src/helpers/irc.js'
import { sane } from '../../../src/helpers/sane.js'
import { tftp } from '../../../src/helpers/tftp.js'
import { HelpedSession } from '../../support/helped-session.js'

const HELPERS: Readonly<Record<string, Helper>> = {
  amanda: amanda(), ftp: ftp(), irc: irc(), sane: sane(), tftp: tftp(),
}
const FILE = process.env.KERNEL_ANSWERS ?? new URL('kernel-answers.tsv', import.meta.url)

const rows = readFileSync(FILE, 'utf8').split('\n').filter(line => line !== '' && !line.startsWith('#'))

describe.each(Object.keys(HELPERS))('%s', name => {
  const recorded = rows.filter(row => row.startsWith(`${name}\t`))

  test(`${recorded.length} conversations end as on Linux 6.18.44`, () => {
    expect(recorded.length).toBeGreaterThan(30)
    for (const row of recorded) {
      const [, family, client, port, payloads, answers] = row.split('\t')
      const own = replay(HELPERS[name], family, client, Number(port), payloads)
      expect(`${payloads}: ${own}`).toBe(`${payloads}: ${answers}`)
    }
  })
})

function replay(helper: Helper, family: string, client: string, sport: number, payloads: string): string {
  const session = new HelpedSession(helper, { family: family === '4' ? 4 : 6, client, sport })
  const start = { original: session.next('original'), reply: session.next('reply') }
  const answers = payloads.split(' ').map(text => {
    const [, who, place, hex] = /^([or])(?:@(\d+))?=([0-9a-f]*)$/.exec(text)!
    const direction = who === 'o' ? 'original' : 'reply'
    const seq = place === undefined ? undefined : start[direction] + Number(place)
    const { verdict, expected } = session.say(direction, Buffer.from(hex, 'hex'), seq)
    const short = expected.map(one => `+${one.replace(/^\w+ (\S+) -> (.*):(\d+)$/, '$1>$2|$3')}`)
    return verdict + short.join('')
  })
  return answers.join(' ')
}
