import { computed, type ComputedRef, onMounted, ref, shallowRef, watch } from 'vue'
import { api, type Problem, problemOf } from './api'
import { readings } from './site'
import type { DeviceData, Measured } from './types'

/** Every variable of a device: meaning and unit from the API, values from the stream as they come. */
export function useValues(device: () => string): {
  values: ComputedRef<Map<string, Measured>>
  ts: ComputedRef<string | null>
  problem: typeof problem
} {
  const stored = shallowRef<DeviceData>()
  const problem = ref<Problem>()
  const fresh = computed(() => readings.get(device()))

  async function load(): Promise<void> {
    try {
      stored.value = await api.get<DeviceData>(`devices/${encodeURIComponent(device())}/data`)
      problem.value = undefined
    } catch (error) {
      problem.value = problemOf(error)
    }
  }

  onMounted(() => void load())
  // A reading with a variable that has no meaning yet: ask once more.
  watch(fresh, (now, before) => {
    const known = stored.value?.values
    const hasNew = now && Object.keys(now.values).some((name) => !known || !(name in known))
    const count = before ? Object.keys(before.values).length : -1
    if (hasNew && now && Object.keys(now.values).length !== count) void load()
  })

  const values = computed(() => {
    const list = new Map(Object.entries(stored.value?.values ?? {}))
    for (const [name, value] of Object.entries(fresh.value?.values ?? {})) {
      const known = list.get(name)
      list.set(name, { value, unit: known?.unit ?? '', label: known?.label ?? '' })
    }
    return list
  })
  const ts = computed(() => fresh.value?.ts ?? stored.value?.ts ?? null)
  return { values, ts, problem }
}
