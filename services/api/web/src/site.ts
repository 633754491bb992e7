import { computed, ref, shallowReactive, shallowRef } from 'vue'
import { api, type Problem, problemOf } from './api'
import { age_s } from './clock'
import { listen } from './stream'
import type { Balance, Device, DeviceState, Info, Led, Mode, Output, OutputState, Plant, Reading, Scan, ServiceView } from './types'

/** Lists are asked for again this often, for what the stream does not tell. */
const REFRESH_MS = 15_000

export const info = shallowRef<Info>()
export const devices = shallowRef<Device[]>()
export const plants = shallowRef<Plant[]>()
export const outputs = shallowRef<Output[]>()
export const leds = shallowRef<Led[]>()
export const mode = shallowRef<Mode>()
/** The search of each line, running or over. */
export const scans = shallowReactive(new Map<string, Scan>())
export const readings = shallowReactive(new Map<string, Reading>())
export const balances = shallowReactive(new Map<string, Balance>())
/** Why the site could not be loaded; nothing is shown until it could. */
export const failure = ref<Problem>()

/** When each service announced itself last, as the stream tells: every 5 s. */
const heard = shallowReactive(new Map<string, string>())
/** An announcement may be this old. */
const SILENT_S = 15

/** Services that do not announce themselves any more: what they own stands still. */
export const silent = computed(() =>
  (info.value?.services ?? [])
    .filter(({ service, ts }) => {
      const told = heard.get(service)
      return (age_s(told && told > ts ? told : ts) ?? 0) > SILENT_S
    })
    .map(({ service }) => service),
)

/** Whether what this service owns is known no more, only how it was. */
export const isSilent = (service: string): boolean => silent.value.includes(service)

export const hasOutputs = computed(() =>
  !!info.value?.features.some((feature) => feature === 'relays' || feature === 'analog'),
)

/** A device's name for people. */
export function nameOf(device: string): string {
  return devices.value?.find((each) => each.id === device)?.alias || device
}

/** When a device's newest values were taken. */
export function lastOf(device: string): string | null {
  const listed = devices.value?.find((each) => each.id === device)?.ts ?? null
  const streamed = readings.get(device)?.ts ?? null
  return streamed && (!listed || streamed > listed) ? streamed : listed
}

function keep(balance: Balance): void {
  const known = balances.get(balance.plant)
  if (!known || known.ts <= balance.ts) balances.set(balance.plant, balance)
}

async function optional<T>(path: string): Promise<T | null> {
  try {
    return await api.get<T>(path)
  } catch (error) {
    if (problemOf(error).status === 404) return null
    throw error
  }
}

async function load(): Promise<void> {
  const [told, listed, planned, switched, panel, present] = await Promise.all([
    api.get<Info>('info'),
    api.get<{ devices: Device[] }>('devices'),
    api.get<{ plants: Plant[] }>('plants'),
    optional<{ outputs: Output[] }>('outputs'),
    optional<{ leds: Led[] }>('leds'),
    mode.value ? null : api.get<Mode>('sync').catch(() => null),
  ])
  info.value = told
  devices.value = listed.devices
  plants.value = planned.plants
  outputs.value = switched?.outputs ?? []
  leds.value = panel?.leds ?? []
  if (present) mode.value = present
  for (const plant of planned.plants) if (plant.balance) keep(plant.balance)
}

/** Load the lists; a failure after the first success leaves what is known (the stream says what is wrong). */
export async function refresh(): Promise<void> {
  try {
    await load()
    failure.value = undefined
  } catch (error) {
    if (!info.value) failure.value = problemOf(error)
  }
}

/** A state as the stream sends it: what it is of, and its fields unless it is no more. */
type StateMessage =
  | { kind: 'output'; id: string; deleted?: never } & OutputState
  | { kind: 'led'; id: string; deleted?: never } & Led
  | { kind: 'mode'; id: string; deleted?: never } & Mode
  | { kind: 'scan'; id: string; deleted?: never } & Scan
  | { kind: 'device'; id: string; deleted?: never } & DeviceState
  | { kind: 'service'; id: string; deleted?: never } & ServiceView
  | { kind: string; id: string; deleted?: true }

export function takeOutput(id: string, state: OutputState | Output): void {
  const { value, since, reason, until, switches, fault } = state
  const changed = { value, since, reason, until, switches, fault }
  outputs.value = outputs.value?.map((each) => (each.id === id ? { ...each, ...changed } : each))
}

function takeMode(state: Mode): void {
  const fresh = state.devices.filter((each) => each.device && !devices.value?.some(({ id }) => id === each.device))
  mode.value = state
  if (fresh.length) void refresh()
}

/** An answer may come after what followed it: a search that fails at once is over before its start is confirmed. */
export function takeScan(state: Scan): void {
  const known = scans.get(state.line)
  if (!known || known.ts < state.ts || (known.ts === state.ts && state.status !== 'running')) scans.set(state.line, state)
}

function takeState(state: StateMessage): void {
  if (state.deleted) return
  if ('mode' in state) takeMode(state)
  else if ('found' in state) takeScan(state)
  else if ('output' in state) takeOutput(state.id, state)
  else if ('service' in state) heard.set(state.service, state.ts)
  else if ('led' in state) leds.value = leds.value?.map((each) => (each.led === state.led ? state : each))
  else if ('online' in state)
    devices.value = devices.value?.map((each) =>
      each.id === state.id ? { ...each, state, online: state.online } : each,
    )
}

/** Follow the site until the returned function is called. */
export function follow(): () => void {
  void refresh()
  const timer = setInterval(() => void refresh(), REFRESH_MS)
  const stop = listen(
    {
      telemetry: (message) => {
        const reading = message as Reading
        readings.set(reading.device, reading)
      },
      plant: (message) => keep(message as Balance),
      state: (message) => takeState(message as StateMessage),
    },
    () => void refresh(),
  )
  return () => {
    clearInterval(timer)
    stop()
    info.value = devices.value = plants.value = outputs.value = leds.value = undefined
    mode.value = undefined
    scans.clear()
    heard.clear()
    readings.clear()
    balances.clear()
  }
}
