/** What the fuzzers have found is found no more: every input of the corpus, again. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { api } from '../fuzz/api-fuzzer.js'
import { captures } from '../fuzz/capture-fuzzer.js'
import { packets } from '../fuzz/packet-fuzzer.js'
import { snapshot } from '../fuzz/snapshot-fuzzer.js'

const corpus = (name: string) => new URL(`../fuzz/corpus/${name}/`, import.meta.url)

describe.each([packets, captures, snapshot, api].filter(({ name }) => existsSync(corpus(name))))('fuzz:$name', fuzzer => {
  test.each(readdirSync(corpus(fuzzer.name)))('%s', async file => {
    await expect(Promise.resolve(fuzzer.replay(readFileSync(new URL(file, corpus(fuzzer.name)))))).resolves.toBeUndefined()
  })
})
