import { computed } from 'vue'
import { api, problemOf } from './api'
import { devices } from './site'
import type { DeviceSection } from './types'

/** Others may change the section at the same time. */
const TRIES = 4
const MODBUS_TCP_PORT = 502
/** Requests at once to a Modbus TCP host: as the configuration allows. */
export const MOST_AT_ONCE = 16

export interface NewDevice {
  id: string
  port?: string
  host?: string | null
  tcp_port?: number | null
  model: string
  unit: number
  alias: string
  serial: string | null
}

export const takenIds = computed(() => new Set(devices.value?.map((each) => each.id)))

/** An id for people that no device has: `sdm630`, or with its unit `sdm630-7`. */
export function freeId(wish: string, unit: number): string {
  const slug = wish.toLowerCase().replace(/[^a-z0-9_-]+/g, '-').replace(/^[-_]+/, '').slice(0, 30) || 'device'
  if (!takenIds.value.has(slug)) return slug
  let id = `${slug}-${unit}`
  for (let n = 2; takenIds.value.has(id); n++) id = `${slug}-${unit}-${n}`
  return id
}

/** `Meter room` as `meter-room`, or `meter-room-2` where that is taken. */
export function freeSlug(wish: string, taken: Set<string>): string {
  const slug = wish.toLowerCase().replace(/[^a-z0-9_-]+/g, '-').replace(/^[-_]+|-+$/g, '').slice(0, 30) || 'line'
  let id = slug
  for (let n = 2; taken.has(id); n++) id = `${slug}-${n}`
  return id
}

/** Requests that a host of these devices gets at once: the smallest of theirs counts. */
export function atOnceOf(those: DeviceSection[]): number {
  return those.length ? Math.min(...those.map((each) => each.max_in_flight ?? 1)) : 1
}

/** A further device of a host changes nothing of how many requests the host gets at once. */
function asOthersOf(section: DeviceSection[], device: NewDevice): NewDevice & { max_in_flight?: number } {
  const others = section.filter(
    (each) => each.host === device.host && (each.tcp_port ?? MODBUS_TCP_PORT) === (device.tcp_port ?? MODBUS_TCP_PORT),
  )
  return device.host ? { ...device, max_in_flight: atOnceOf(others) } : device
}

/** Add a device to the configuration, whoever else changes it meanwhile. Throws a `Problem`. */
export async function addDevice(device: NewDevice): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    const { body, tag } = await api.tagged<DeviceSection[]>('config/devices')
    try {
      await api.replace('config/devices', [...body, asOthersOf(body, device)], tag)
      return
    } catch (error) {
      if (problemOf(error).status !== 412 || attempt === TRIES) throw error
    }
  }
}
