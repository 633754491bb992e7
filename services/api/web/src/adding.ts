import { computed } from 'vue'
import { api, problemOf } from './api'
import { devices } from './site'

/** Others may change the section at the same time. */
const TRIES = 4

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

/** Add a device to the configuration, whoever else changes it meanwhile. Throws a `Problem`. */
export async function addDevice(device: NewDevice): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    const { body, tag } = await api.tagged<unknown[]>('config/devices')
    try {
      await api.replace('config/devices', [...body, device], tag)
      return
    } catch (error) {
      if (problemOf(error).status !== 412 || attempt === TRIES) throw error
    }
  }
}
