// Pure geometry of the chart: scales, ticks, paths. Pixels in, pixels out.

export interface Scale {
  low: number
  high: number
  ticks: number[]
}

/** A range with round ticks that holds all values and zero; never flatter than 100 W. */
export function scaleOf(values: number[], most_ticks: number): Scale {
  const least = Math.min(0, ...values)
  const top = Math.max(least + 100, 0, ...values)
  const raw = (top - least) / most_ticks
  const size = 10 ** Math.floor(Math.log10(raw))
  const step = [1, 2, 2.5, 5, 10].map((factor) => factor * size).find((each) => each >= raw) ?? raw
  const low = Math.floor(least / step) * step
  const high = Math.ceil(top / step) * step
  const count = Math.round((high - low) / step)
  return { low, high, ticks: Array.from({ length: count + 1 }, (_, index) => low + index * step) }
}

export type Spot = readonly [x: number, y: number] | null

const pixel = (value: number): string => value.toFixed(1)

/** Lines through the spots; a null breaks them. */
export function lineOf(spots: Spot[]): string {
  let path = ''
  let isOpen = false
  for (const spot of spots) {
    if (spot) path += `${isOpen ? 'L' : 'M'}${pixel(spot[0])} ${pixel(spot[1])}`
    isOpen = spot !== null
  }
  return path
}

/** The areas between the spots and a base line. */
export function areaOf(spots: Spot[], base: number): string {
  let path = ''
  let run: Exclude<Spot, null>[] = []
  for (const spot of [...spots, null]) {
    if (spot) {
      run.push(spot)
      continue
    }
    const first = run[0]
    const last = run.at(-1)
    if (first && last) path += `M${pixel(first[0])} ${pixel(base)}${lineOf(run).replace('M', 'L')}V${pixel(base)}Z`
    run = []
  }
  return path
}
