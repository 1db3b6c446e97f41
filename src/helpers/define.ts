/** Makes a helper of its description: defaults filled in, and everything checked once, so that nobody checks again. */
import { HelperHost } from '../helper-host.js'
import type { ExpectationClass, Helper } from './helper.js'
import { HOST, type HostedHelper } from './host.js'
import { checkFields, checkLimit, checkPorts, checkSeconds, invalid } from './options.js'

/** A helper's description. All but `name`, `protocol` and `inspect` may be left out. */
export interface HelperDefinition<State> extends Omit<Helper<State>, 'families' | 'ports' | 'classes'> {
  /** Default: both IP versions. */
  readonly families?: readonly (4 | 6)[]
  /** Destination ports of the connections it gets; default: none, it is then only assigned by expectations. */
  readonly ports?: readonly number[]
  /** Default: one class without a name, of one expectation at a time that lives 300 seconds. */
  readonly classes?: readonly ExpectationClass[]
}

const FIELDS = ['name', 'protocol', 'families', 'ports', 'classes', 'assigns', 'state', 'inspect']
/** Names are printed between blanks, and Linux keeps 15 bytes of them. */
const NAME = /^[\x21-\x7e]{1,15}$/
/** A class without a name is listed under its helper's alone. */
const CLASS_NAME = /^[\x21-\x7e]{0,15}$/
const DEFAULT_CLASS: ExpectationClass = { name: '', limit: 1, timeout: 300 }

/**
 * Defines a protocol helper.
 *
 * ```ts
 * // Announced in the clear as `OPEN <port>` by the server, on TCP port 7000.
 * const example = defineHelper({
 *   name: 'example',
 *   protocol: 'tcp',
 *   ports: [7000],
 *   inspect({ payload, direction, established, connection }, table) {
 *     if (!established || direction !== 'reply') return 'accept'
 *     const port = Number(/^OPEN (\d{4,5})\r\n$/.exec(new TextDecoder().decode(payload))?.[1])
 *     if (!(port >= 1024 && port <= 65535)) return 'accept'
 *     const { src, dst } = connection.original
 *     table.expect({ protocol: 6, src, dst, dport: port })
 *     return 'accept'
 *   },
 * })
 * ```
 *
 * `docs/helpers.md` has a whole one, for RTSP.
 *
 * @throws ConntrackError `invalid-argument` naming the field
 */
export function defineHelper<State = undefined>(definition: HelperDefinition<State>): Helper<State> {
  checkFields('a helper', definition, FIELDS)
  const { name, protocol, families = [4, 6], ports = [], classes = [DEFAULT_CLASS], assigns = [] } = definition
  if (typeof name !== 'string' || !NAME.test(name)) throw invalid('name: expected 1 to 15 visible ASCII characters')
  checkFunctions(definition)
  if (!Array.isArray(assigns)) throw invalid('assigns: expected a list of helpers')
  const helper: HostedHelper = {
    ...definition,
    protocol: checkProtocol(protocol),
    families: checkFamilies(families),
    ports: checkPorts('ports', ports),
    classes: checkClasses(classes),
    assigns: [...assigns],
    [HOST]: HelperHost,
  }
  return Object.freeze(helper)
}

function checkProtocol(protocol: Helper['protocol']): Helper['protocol'] {
  const all: readonly unknown[] = Array.isArray(protocol) ? protocol : [protocol]
  if (all.length > 0 && all.every(one => one === 'tcp' || one === 'udp')) return protocol
  throw invalid("protocol: expected 'tcp', 'udp' or a list of them")
}

function checkFamilies(families: readonly (4 | 6)[]): readonly (4 | 6)[] {
  const good = Array.isArray(families) && families.length > 0 && families.every(family => family === 4 || family === 6)
  if (!good) throw invalid('families: expected a list of 4 and 6')
  return [...families]
}

function checkClasses(classes: readonly ExpectationClass[]): readonly ExpectationClass[] {
  if (!Array.isArray(classes) || classes.length === 0) throw invalid('classes: expected a list of at least one')
  return classes.map((one, index) => {
    const field = `classes[${index}]`
    checkFields(field, one, ['name', 'limit', 'timeout'])
    if (typeof one.name !== 'string' || !CLASS_NAME.test(one.name)) {
      throw invalid(`${field}.name: expected up to 15 visible ASCII characters`)
    }
    const limit = checkLimit(`${field}.limit`, one.limit)
    return { name: one.name, limit, timeout: checkSeconds(`${field}.timeout`, one.timeout) }
  })
}

function checkFunctions(definition: Pick<Helper, 'inspect' | 'state'>): void {
  if (typeof definition.inspect !== 'function') throw invalid('inspect: expected a function')
  const state: unknown = definition.state
  if (state !== undefined && typeof state !== 'function') throw invalid('state: expected a function')
}
