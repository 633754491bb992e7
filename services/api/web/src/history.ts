import { ref, shallowRef } from 'vue'
import { api, type Problem, problemOf } from './api'
import { gatewayNow } from './clock'
import type { Balance, HistorySeries } from './types'

export const SPAN_MS = 3_600_000
const POINTS = 240
export const STEP_MS = SPAN_MS / POINTS
/** A gateway that has just started shows less than an hour rather than an empty chart, ms. */
const SHORTER_MS = [300_000, 900_000]

/** The three curves' mean over one step, W; null is a gap. */
export interface Point {
  t: number
  prod: number | null
  grid: number | null
  load: number | null
}

const FIELDS = { p_prod: 'prod', p_grid: 'grid', p_load: 'load' } as const
type Field = (typeof FIELDS)[keyof typeof FIELDS]

function merged(series: HistorySeries[]): Point[] {
  const byTime = new Map<number, Point>()
  for (const each of series) {
    const field = FIELDS[each.metric as keyof typeof FIELDS]
    if (!field) continue
    for (const [ts, mean] of each.points) {
      const t = stepOf(Date.parse(ts))
      const point = byTime.get(t) ?? { t, prod: null, grid: null, load: null }
      point[field] = mean
      byTime.set(t, point)
    }
  }
  return [...byTime.values()].sort((a, b) => a.t - b.t)
}

/** How much time to show: the least that holds all points, at most an hour. */
export function spanOf(points: readonly Point[]): number {
  const first = points[0]?.t
  const last = points.at(-1)?.t
  if (first === undefined || last === undefined) return SPAN_MS
  return SHORTER_MS.find((span) => last - first < span) ?? SPAN_MS
}

const stepOf = (t: number): number => Math.floor(t / STEP_MS) * STEP_MS

/** The last hour of one plant: stored history, continued by live balances. */
export function useLastHour(): {
  points: Readonly<typeof points>
  problem: typeof problem
  loaded: typeof loaded
  load: (plant: string) => Promise<void>
  append: (balance: Balance) => void
} {
  const points = shallowRef<Point[]>([])
  const problem = ref<Problem>()
  const loaded = ref(false)
  let asked = ''
  let count = 0

  async function load(plant: string): Promise<void> {
    if (asked !== plant) {
      points.value = []
      loaded.value = false
      asked = plant
    }
    // Whole steps, so that stored and live points share their grid.
    const to = stepOf(gatewayNow()) + STEP_MS
    const query = new URLSearchParams({
      device: plant,
      from: new Date(to - SPAN_MS).toISOString(),
      to: new Date(to).toISOString(),
      points: String(POINTS),
    })
    for (const metric of Object.keys(FIELDS)) query.append('metric', metric)
    try {
      const { series } = await api.get<{ series: HistorySeries[] }>(`history?${query}`)
      if (asked !== plant) return
      const stored = merged(series)
      const last = stored.at(-1)?.t ?? 0
      points.value = [...stored, ...points.value.filter((point) => point.t > last)]
      problem.value = undefined
    } catch (error) {
      problem.value = problemOf(error)
    }
    loaded.value = true
  }

  function append(balance: Balance): void {
    if (balance.plant !== asked) return
    const t = stepOf(Date.parse(balance.ts))
    const list = points.value.filter((point) => point.t > t - SPAN_MS)
    const last = list.at(-1)
    if (last && last.t > t) return
    const sample: Point = { t, prod: balance.p_prod, grid: balance.p_grid, load: balance.p_load }
    if (last?.t === t) {
      count += 1
      const mean = (field: Field): number | null =>
        last[field] === null || sample[field] === null
          ? sample[field]
          : last[field] + (sample[field] - last[field]) / count
      list[list.length - 1] = { t, prod: mean('prod'), grid: mean('grid'), load: mean('load') }
    } else {
      count = 1
      list.push(sample)
    }
    points.value = list
  }

  return { points, problem, loaded, load, append }
}
