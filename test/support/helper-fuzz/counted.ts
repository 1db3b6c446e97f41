/** A payload that counts how often it is read: the work of a helper, without a clock. */

export interface Reads {
  count: number
}

/** Methods that go through the bytes until they found something, or through all of them. */
const SEARCHES = ['indexOf', 'findIndex']

export function counted(bytes: Uint8Array, reads: Reads): Uint8Array {
  return new Proxy(bytes, {
    get(target, key) {
      if (typeof key === 'string' && key.charCodeAt(0) <= 57) {
        reads.count++
        return target[key as unknown as number]
      }
      const value: unknown = Reflect.get(target, key)
      return typeof value === 'function' ? countedMethod(target, key, value, reads) : value
    },
  })
}

function countedMethod(target: Uint8Array, key: string | symbol, method: Function, reads: Reads) {
  return (...parameters: unknown[]) => {
    const result: unknown = method.apply(target, parameters)
    if (key === 'subarray') return counted(result as Uint8Array, reads)
    const from = key === 'indexOf' ? Number(parameters[1] ?? 0) : 0
    const found = SEARCHES.includes(String(key)) && Number(result) >= 0
    reads.count += Math.max(0, (found ? Number(result) + 1 : target.length) - from)
    return result
  }
}
